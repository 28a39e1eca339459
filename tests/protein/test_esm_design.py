"""An imported model is a model like any other: designs under constraints, scores, further training."""

from dataclasses import replace

import pytest
import torch

from domains.design import design
from domains.protein.data import PROTEIN
from domains.protein.pretrained.importing import import_esm
from seqdiff.checkpoint import load_checkpoint
from seqdiff.denoisers.low_rank import LowRank, adapt, merged
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import CheckpointError, ConditionError, ConfigError, TemplateError
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import train
from tests.protein.esm_files import write_hugging_face


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("esm")
    root = tmp_path_factory.mktemp("esm")
    write_hugging_face(root / "hf")
    import_esm(str(root / "hf"), root / "model")
    return root / "model"


def test_design_with_pins_bans_chains_and_particles(folder):
    answer = design(
        domain="protein",
        template="{4-6}MKV{6}/LAW{5}",
        model=str(folder),
        n=6,
        constraint="avoid(N-[^P]-[ST]) & count([C], 0..1) & count([W], 2..9)",
        particles=2,
        bound_draws=2,
    )
    assert len(answer.designs) == 6 and len({item.sequence for item in answer.designs}) == 6
    for item in answer.designs:
        first, second = item.sequence.split("/")
        assert first[-9:-6] == "MKV" and second.startswith("LAW") and len(second) == 8
        assert item.valid and item.pins_kept and not item.certificate.violations
        assert item.sequence.count("C") <= 1 and item.sequence.count("W") >= 2
    again = design(domain="protein", template="{4-6}MKV{6}/LAW{5}", model=str(folder), n=3, bound_draws=0, batch_size=1)
    other = design(domain="protein", template="{4-6}MKV{6}/LAW{5}", model=str(folder), n=3, bound_draws=0, batch_size=3)
    assert [d.sequence for d in again.designs] == [d.sequence for d in other.designs]


CASES = {
    "lower case": ("MKv{5}", TemplateError, "lower case means an insertion in alignments; write V"),
    "J": ("MKJ{5}", TemplateError, "'J' is none of the twenty amino acids"),
    "star": ("MK{5}*", TemplateError, r"'\*' is no amino acid"),
    "empty": ("", TemplateError, "got an empty text"),
    "spaces": ("M K {5} LA W", None, "MK.....LAW"),
    "10,000 residues": ("M" * 9_999 + "_", ConditionError, "at most 1022"),
    "no length": (None, CheckpointError, "without a law of lengths; give a template"),
}


@pytest.mark.parametrize("case", CASES)
def test_odd_templates_are_right_or_refused(folder, case):
    template, error, text = CASES[case]
    request = {"domain": "protein", "model": str(folder), "n": 1, "bound_draws": 0, "template": template}
    if error is None:
        (made,) = design(**request).designs
        assert len(made.sequence) == len(text) and all(
            want in (".", got) for want, got in zip(text, made.sequence, strict=True)
        )
    else:
        with pytest.raises(error, match=text):
            design(**request)


def few_rows(longest: int = 12) -> EncodedData:
    """Forty rows in which every residue follows from the one before it."""
    rows = [[(start + 3 * i) % 20 for i in range(6 + k % (longest - 5))] for k, start in enumerate(range(40))]
    return EncodedData.from_rows(PROTEIN, rows, [0] * 40, [k % 10 == 0 for k in range(40)], ["mine"])


def further(folder, steps: int = 20, **model) -> TrainingConfig:
    optimizer = OptimizerConfig("adamw", lr=5e-3, lr_rest=1e-3, warmup=1, ema=0.9)
    run = RunConfig(steps=steps, batch_tokens=200, precision="fp32", eval_every=steps, checkpoint_every=steps, eval_rows=4)
    return TrainingConfig(model={"base": str(folder), **model}, optimizer=optimizer, run=run)


def held_out(network, system, data) -> float:
    x_0 = torch.stack([data.rows(data.rows_of(~data.held_out, 99)[-1], 12)[0]])
    return float(system.bound(network, x_0, None, draws=32).nats)


@pytest.mark.parametrize("model", [{}, {"rank": 4, "alpha": 16.0}])
def test_training_further_learns_and_is_saved_as_plain_weights(folder, tmp_path, model):
    data, config = few_rows(), further(folder, **model)
    network, system = build(config, data)
    before = held_out(network.eval(), system, data)
    averaged, _ = train(network, system, data, config, tmp_path / "run")
    after = held_out(averaged.eval(), system, data)
    assert after < 0.8 * before
    start, end = load_checkpoint(folder).network.state_dict(), to_checkpoint(averaged, system, data, {})
    end.save(tmp_path / "model", "", dtype="float32")
    saved = load_checkpoint(tmp_path / "model")
    moved = {name for name, tensor in saved.network.state_dict().items() if not torch.equal(tensor, start[name])}
    projections = {f"blocks.{i}.{part}.weight" for i in range(2) for part in ("query", "key", "value", "out")}
    assert moved == projections if model else projections < moved
    assert held_out(saved.network, saved.system, data) == pytest.approx(after, rel=1e-4)
    assert saved.label_names == () and saved.max_length == 12
    (made,) = design(domain="protein", n=1, bound_draws=0, model=str(tmp_path / "model")).designs  # lengths are known now
    assert 6 <= len(made.sequence) <= 12


def test_merged_is_unmerged_and_low_rank_begins_as_nothing(folder):
    network = load_checkpoint(folder).network
    x_t = torch.randint(0, 23, (2, 20), generator=torch.Generator().manual_seed(1))
    plain = network(x_t)
    adapt(network, 3)
    assert torch.equal(network(x_t), plain)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, LowRank):
                module.up.normal_()
    changed, learning = network(x_t), {name for name, p in network.named_parameters() if p.requires_grad}
    assert len(learning) == 2 * 2 * 4 and all(".weight.0." in name for name in learning)
    assert (changed - plain).abs().max() > 0.1
    assert torch.equal(merged(network)(x_t), changed)
    assert not any(isinstance(module, LowRank) for module in network.modules())


def test_low_rank_on_our_own_transformer_and_what_does_not_fit():
    network = adapt(Transformer(TransformerConfig(22, width=16, depth=2, heads=2)), 2)
    assert sum(p.requires_grad for p in network.parameters()) == 2 * 2 * 2  # qkv and attention_out of two blocks
    with pytest.raises(ConfigError, match=r"rank: expected 1 to 15 \(the narrowest projection is 16 wide\), got 16"):
        adapt(Transformer(TransformerConfig(22, width=16, depth=1, heads=2)), 16)
    with pytest.raises(ConfigError, match="expected linear layers named query"):
        adapt(torch.nn.Sequential(torch.nn.Linear(4, 4)), 2)


def test_what_cannot_be_trained_further(folder):
    data = few_rows()
    with pytest.raises(ConfigError, match=r"model.width: unknown key; expected one of base, rank, alpha"):
        build(further(folder, width=8), data)
    with pytest.raises(ConfigError, match=r"the system \('mdlm'\) and \[schedule\] are those of"):
        build(replace(further(folder), schedule={"kind": "cosine"}), data)
    longer = EncodedData.from_rows(PROTEIN, [[0] * 1030], [0], [False], ["mine"])
    with pytest.raises(ConfigError, match="expected rows of at most 1022 tokens"):
        build(further(folder), longer)
