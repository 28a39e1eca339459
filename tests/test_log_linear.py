"""The log-linear terms against sums written out, and what they cannot see."""

import math

import pytest
import torch

from seqdiff.denoisers.causal import Causal, CausalConfig
from seqdiff.denoisers.classifier import Classifier, ClassifierConfig
from seqdiff.denoisers.log_linear import LogLinear
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError

V, MASK, PAD, K = 4, 4, 5, 2
ROWS = torch.tensor([[0, 4, 2, 2, 4, 1], [4, 3, 4, 0, 5, 5]])


@pytest.fixture
def terms():
    torch.manual_seed(0)
    module = LogLinear(V, V + 1, K)
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return module


def written_out(module: LogLinear, row: list[int], i: int, v: int) -> float:
    """The formula of the module, term by term."""
    clean = [x for x in row if x < V]
    u, a = module.bias.softmax(0)[v].item(), module.log_weight.exp().item()
    made = (clean.count(v) + a * u) / ((len(clean) + a) * u)
    total = module.bias[v].item() + module.scale.item() * math.log(made)
    for k, d in enumerate((-2, -1, 1, 2)):
        inside = 0 <= i + d < len(row) and row[i + d] != PAD
        state = row[i + d] if inside else PAD
        total += module.pairs[k * (V + 2) + state, v].item()
    return total


def test_the_terms_are_what_the_formula_says(terms):
    logits = terms(ROWS, None)
    for b, row in enumerate(ROWS.tolist()):
        for i in range(len(row)):
            assert logits[b, i].tolist() == pytest.approx([written_out(terms, row, i, v) for v in range(V)], abs=1e-5)
    positions = torch.tensor([[5, 1], [0, 2]])
    asked = terms(ROWS, positions)
    assert torch.allclose(asked, logits.gather(1, positions.unsqueeze(-1).expand(-1, -1, V)), atol=1e-6)


def test_without_pairs_it_is_the_posterior_mean_of_a_dirichlet_prior():
    module = LogLinear(V, V + 1, K)
    with torch.no_grad():
        module.bias.copy_(torch.tensor([0.5, 0.2, 0.2, 0.1]).log())
    p = module(ROWS[:1], torch.tensor([[1]])).softmax(-1)[0, 0]
    assert p.tolist() == pytest.approx([(1 + 30) / 64, (1 + 12) / 64, (2 + 12) / 64, 6 / 64], abs=1e-6)


def test_padding_does_not_reach_a_row(terms):
    assert torch.allclose(terms(ROWS, None)[1, :4], terms(ROWS[1:, :4], None)[0], atol=1e-6)


def test_a_transformer_has_them_beside_its_own_logits():
    torch.manual_seed(0)
    with_terms = Transformer(TransformerConfig(V, width=8, depth=1, heads=2, edges=True, neighbours=K))
    torch.nn.init.normal_(with_terms.head.weight)
    torch.nn.init.normal_(with_terms.log_linear.pairs)
    without = Transformer(TransformerConfig(V, width=8, depth=1, heads=2, edges=True))
    without.load_state_dict({k: w for k, w in with_terms.state_dict().items() if not k.startswith("log_linear.")})
    lengths, positions = torch.tensor([6, 4]), torch.tensor([[0, 3], [3, 2]])
    both = with_terms(ROWS, lengths=lengths, positions=positions)
    expected = without(ROWS, lengths=lengths, positions=positions) + with_terms.log_linear(ROWS, positions)
    assert torch.allclose(both, expected, atol=1e-5)


def test_a_trunk_takes_the_network_and_leaves_the_terms():
    config = {"width": 8, "depth": 1, "heads": 2, "neighbours": K}
    denoiser = Transformer(TransformerConfig(V, **config))
    classifier = Classifier(ClassifierConfig(V, classes=2, **config))
    classifier.take_trunk(denoiser)
    assert classifier.trunk.log_linear is None and classifier(ROWS[:1]).shape == (1, 2)
    assert torch.equal(classifier.trunk.embed.weight, denoiser.embed.weight)


def test_where_they_do_not_go():
    with pytest.raises(ConfigError, match="neighbours: expected 0 for a network that reads or gives vectors"):
        TransformerConfig(V, neighbours=2, input_width=3)
    with pytest.raises(ConfigError, match=r"model\.neighbours: expected none in a causal model"):
        Causal(CausalConfig(V, neighbours=2))
