"""The ESM encoder: fair-esm's logits bit for bit, our tokens mapped, positions asked, chain breaks, what is barred."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK, PROTEIN, UNKNOWN
from domains.protein.pretrained.weights import LINKER, TOKENS, from_fair, to_checkpoint
from seqdiff.denoisers.esm import LOG_BARRED, Esm, EsmConfig
from seqdiff.errors import ConfigError
from tests.protein.esm_files import HEADS, fair_network

pytest.importorskip("esm")
KINDS = ("esm2", "esm1b", "esm1v")
AMINO = [PROTEIN.ids[letter] for letter in AMINO_ACIDS]


def ours(kind: str, **changes) -> Esm:
    """The network of `fair_network(kind)`, with token dropout as published unless changed."""
    arguments = {"attention_heads": HEADS, "token_dropout": True, "arch": "roberta_large"}
    keys = ["cfg"] if kind == "esm2" else ["args"]
    network = to_checkpoint(from_fair(fair_network(kind).state_dict(), arguments, keys), None, {}).network
    again = Esm(replace(network.config, **{"most_masked": 1.0} | changes))  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    return again.eval().requires_grad_(False)


def inner_rows(T: int, seed: int = 0) -> torch.Tensor:
    """(4, T) ids of ESM's tokens: marks at the ends, any residue letter, a third masked, the last row shorter."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 30, (4, T), generator=generator)
    tokens[torch.rand(tokens.shape, generator=generator) < 0.3] = TOKENS.index("<mask>")
    tokens[:, 0], tokens[:, -1] = 0, 2
    tokens[3, -3:] = torch.tensor([2, 1, 1])
    return tokens


def rows(L: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 20, (3, L), generator=torch.Generator().manual_seed(seed))


def test_tokens_are_fair_esms():
    import esm

    assert tuple(esm.data.Alphabet.from_architecture("ESM-1b").all_toks) == TOKENS
    letters = [TOKENS[i] for i in ours("esm2").config.ids]
    assert letters == [*AMINO_ACIDS, UNKNOWN, LINKER[0], "<mask>", "<pad>"]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_fair_esms_bit_for_bit(kind):
    fair, network = fair_network(kind), ours(kind)
    for T in (5, 33, 130):
        tokens = inner_rows(T, T)
        with torch.no_grad():
            for batch in (tokens, tokens[:3]):  # with padding and without
                assert torch.equal(network.logits(batch), fair(batch)["logits"])


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_denoiser_its_logits_are_fair_esms_columns(kind):
    fair, network = fair_network(kind), ours(kind)
    x_t = rows(40)
    x_t[:, ::3] = PROTEIN.mask
    tokens = torch.cat([torch.zeros(3, 1).long(), torch.tensor(network.config.ids)[x_t], torch.full((3, 1), 2)], 1)
    with torch.no_grad():
        expected = fair(tokens)["logits"][:, 1:-1, [TOKENS.index(letter) for letter in AMINO_ACIDS]]
    assert torch.equal(network(x_t)[..., AMINO], expected)


def test_weights_that_are_halves_keep_the_rotary_frequencies_of_their_file():
    tensors = {name: tensor.half() for name, tensor in fair_network("esm2").state_dict().items()}
    fair = fair_network("esm2")
    fair.load_state_dict(tensors)
    published = from_fair(tensors, {"attention_heads": HEADS, "token_dropout": True}, ["cfg"])
    network = to_checkpoint(published, None, {}).network
    assert published.dtype == "float16" and len(network.config.frequencies) == 4  # type: ignore[union-attr, arg-type]
    tokens = inner_rows(60)
    tokens[tokens == TOKENS.index("<mask>")] = 5
    with torch.no_grad():
        assert torch.equal(network.logits(tokens), fair(tokens)["logits"])  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
def test_asked_positions_alone_and_shorter_rows(kind):
    network, x_t = ours(kind), rows(30)
    x_t[:, 5:20] = PROTEIN.mask
    positions = torch.tensor([[0, 29, 7], [12, 12, 3], [8, 19, 20]])
    full = network(x_t)
    torch.testing.assert_close(
        network(x_t, positions=positions), full.gather(1, positions.unsqueeze(-1).expand(-1, -1, len(PROTEIN)))
    )
    lengths = torch.tensor([30, 11, 1])
    padded = torch.where(torch.arange(30) < lengths.unsqueeze(1), x_t, PROTEIN.pad)
    together = network(padded, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = network(x_t[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1, :length], alone, atol=1e-4, rtol=1e-5)


def test_a_chain_break_is_read_as_a_linker():
    network, letter, times = ours("esm2"), *LINKER
    first, second = "MKVLAW", "DEFGH"
    broken = torch.tensor([PROTEIN.encode(f"{first}{BREAK}{second}")])
    linked = torch.tensor([PROTEIN.encode(first + letter * times + second)])
    expected = network(linked)[:, [*range(6), *range(6 + times, 11 + times)]]
    torch.testing.assert_close(network(broken)[:, [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]], expected)
    masked = broken.clone()
    masked[0, 6] = PROTEIN.mask
    assert network.frame(masked)[0].shape[1] == 14  # a masked break is one unknown token
    both = torch.cat([broken, torch.tensor([PROTEIN.encode("MKVLAWADEFGH")])])  # rows of other lengths inside
    torch.testing.assert_close(network(both)[:1], network(broken), atol=1e-4, rtol=1e-5)


def test_x_and_chain_breaks_are_never_drawn_and_teach_nothing():
    network, x_t = ours("esm2"), torch.full((2, 12), PROTEIN.mask)
    logits = network(x_t)
    barred = [PROTEIN.ids[UNKNOWN], PROTEIN.ids[BREAK]]
    torch.testing.assert_close(logits[..., barred], (logits[..., AMINO].logsumexp(-1, True) + LOG_BARRED).expand(-1, -1, 2))
    # The twenty come first, and in float64 their cumulated chances reach 1 exactly: no u in [0, 1) falls beyond.
    cumulated = logits.double().softmax(-1)[..., [*AMINO, *barred]].cumsum(-1)
    assert bool((cumulated[..., 20:] <= cumulated[..., 19:20]).all())
    network.requires_grad_(True)
    F.cross_entropy(network(x_t).flatten(0, 1), torch.full((24,), barred[0])).backward()
    largest = max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None)
    assert largest < 1e-4
    F.cross_entropy(network(x_t).flatten(0, 1), torch.zeros(24, dtype=torch.int64)).backward()
    assert max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None) > 1e-2


def test_token_dropout_scales_no_further_than_training_did():
    network, free = ours("esm2", most_masked=0.15), ours("esm2")
    few, all_masked = rows(100), torch.full((1, 100), PROTEIN.mask)
    few[:, ::20] = PROTEIN.mask
    assert torch.equal(network(few), free(few))  # 5 of 102: below the share of training, as published
    framed, _ = network.frame(all_masked)
    ratio = free._embedded(framed, None)[0, 0] / network._embedded(framed, None)[0, 0]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.85 / (2 / 102)))  # 45 instead of 1.04
    assert network._embedded(framed, None)[0, 1:-1].abs().max() == 0


def test_contacts_are_fair_esms():
    for kind in ("esm2", "esm1b"):
        fair, network = fair_network(kind), ours(kind)
        x_0 = rows(35)[0]
        with torch.no_grad():
            expected = fair.predict_contacts(network.frame(x_0[None])[0])[0]
        torch.testing.assert_close(network.contacts(x_0), expected)
    with pytest.raises(ConfigError, match="came without a contact regression"):
        Esm(replace(ours("esm2").config, contacts=False)).contacts(rows(5)[0])


def test_learned_positions_end_somewhere():
    with pytest.raises(ConfigError, match="at most 1022 tokens, got 1023"):
        ours("esm1v")(rows(1023))


def test_sizes_that_do_not_fit():
    ids = tuple(range(6))
    with pytest.raises(ConfigError, match="multiple of 2 · heads = 6"):
        EsmConfig(4, 32, 1, 3, 8, ids)
    with pytest.raises(ConfigError, match="expected 6 ids below 33"):
        EsmConfig(4, 32, 1, 4, 8, (*ids, 7))
    with pytest.raises(ConfigError, match="linker"):
        EsmConfig(4, 32, 1, 4, 8, ids, linker=(1,))
    with pytest.raises(ConfigError, match="depth: expected at least 1"):
        EsmConfig(4, 32, 0, 4, 8, ids)
