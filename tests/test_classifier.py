"""Classifiers on noisy input: what they should learn by enumeration, and what a short training learns of a planted rule."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint
from seqdiff.denoisers.classifier import Classifier, ClassifierConfig, ExactClassifier, Trunk, leaves
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError, TrainingError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Linear
from seqdiff.systems.base import Rows
from seqdiff.systems.classifier import Regression, quality
from seqdiff.systems.registry import build_system
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData, Targets
from seqdiff.training.loop import train
from tests.laws import ising

SIZES = {"width": 16, "depth": 2, "heads": 2}


def shaken(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


@pytest.mark.parametrize("kind", ["absorbing", "uniform"])
def test_the_exact_classifier_is_the_mean_of_the_clean_one_given_x_t(kind):
    law = ising()
    process = {"absorbing": Absorbing, "uniform": Uniform}[kind](3, Linear())
    p_y = torch.rand(81, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classifier = ExactClassifier(law, p_y, None if kind == "absorbing" else process)
    level = torch.tensor(0.6, dtype=torch.float64)
    marginal = process.marginal(level)  # q(x_t | x_0 = v), (V, S)
    for x in ([0, 1, 2, 1], [2, 2, 0, 0], [0, 3, 2, 3], [3, 3, 3, 3]):
        if max(x) >= process.states:
            continue
        joint = [
            float(p) * np.prod([float(marginal[a, b]) for a, b in zip(o, x, strict=True)])
            for o, p in zip(law.outcomes.tolist(), law.probability, strict=True)
        ]
        expected = np.dot(joint, p_y.numpy()) / sum(joint)
        found = classifier(torch.tensor([x]), level.reshape(1)).exp()
        assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("edges", [False, True])
def test_soft_tokens_that_are_one_hots_say_what_ids_say(edges):
    network = shaken(Classifier(ClassifierConfig(3, classes=4, edges=edges, convolution=3, **SIZES)))
    x_t = torch.tensor([[0, 3, 2, 1, 4], [1, 1, 3, 3, 3]])
    lengths = torch.tensor([4, 5])
    soft = torch.nn.functional.one_hot(x_t.clamp(max=3), 4).double()
    by_ids, by_soft = network.log_classes(x_t, lengths=lengths), network.log_classes(soft, lengths=lengths)
    assert torch.allclose(by_ids, by_soft, atol=1e-6)
    clean = torch.tensor([[0, 1, 2]])
    assert torch.allclose(network(clean), network(torch.nn.functional.one_hot(clean, 3).float()), atol=1e-6)
    half = soft.clone()
    half[0, 1] = torch.tensor([0.5, 0.5, 0.0, 0.0])
    middle = network(half, lengths=lengths)
    assert not torch.allclose(middle, network(soft, lengths=lengths))
    with pytest.raises(
        ConfigError, match=r"expected ids \(B, L\) or soft tokens \(B, L, 3\) or \(B, L, 4\), got shape \(2, 5, 7\)"
    ):
        network(torch.zeros(2, 5, 7))


def test_padding_does_not_reach_what_is_told():
    network = shaken(Classifier(ClassifierConfig(3, edges=True, convolution=3, **SIZES)))
    alone, _ = network.number(torch.tensor([[0, 2, 1]]))
    padded, _ = network.number(torch.tensor([[0, 2, 1, 4, 4], [1, 1, 1, 1, 1]]), lengths=torch.tensor([3, 5]))
    assert torch.allclose(alone[0], padded[0], atol=1e-6)


def test_the_trunk_of_a_denoiser_is_taken_over_and_may_be_frozen(tmp_path):
    data = planted_data()
    denoiser, masked = build_system("mdlm", {"vocabulary": 5, "labels": 2, **SIZES, "edges": True}, {"kind": "linear"})
    shaken(denoiser)
    to_checkpoint(denoiser, masked, data, {}).save(tmp_path / "denoiser", "", dtype="float32")
    model = {"trunk": str(tmp_path / "denoiser"), "frozen": True}
    network, system, _ = short_run("classifier", data, tmp_path / "run", model, steps=20)
    x_t = torch.tensor([[0, 5, 2, 1, 4]])
    trunk = Trunk(denoiser.config)
    trunk.load_state_dict({k: v for k, v in denoiser.state_dict().items() if not k.startswith("head.")})
    assert torch.equal(trunk(x_t), network.trunk(x_t))
    assert torch.allclose(torch.nn.functional.linear(trunk(x_t), denoiser.head.weight, denoiser.head.bias), denoiser(x_t))
    assert network.readout[2].weight.abs().max() > 0  # what is read from it was learned
    moving, _, _ = short_run("classifier", data, tmp_path / "moving", {"trunk": model["trunk"]}, steps=20)
    assert not torch.equal(trunk(x_t), moving.trunk(x_t))
    with pytest.raises(ConfigError, match="model.width: follows from model.trunk; leave it out"):
        build(config_of("classifier", model | {"width": 8}), data)
    other = dataclasses.replace(data, alphabet=Alphabet("toy", tuple("vwxyz")))
    with pytest.raises(ConfigError, match="model.trunk: expected a transformer over the data's 5 tokens"):
        build(config_of("classifier", model), other)


def planted_data() -> EncodedData:
    """2,000 rows of 5 tokens; the class says whether "ab" occurs, the number is the share of "a", plus 10."""
    random = np.random.default_rng(0)
    rows = [random.integers(0, 5, n).tolist() for n in random.integers(5, 9, 2000)]
    labels = [int(any(pair == (0, 1) for pair in zip(row, row[1:], strict=False))) for row in rows]
    share = [10 + row.count(0) / len(row) for row in rows]
    alphabet, held_out = Alphabet("toy", tuple("abcde")), random.random(2000) < 0.2
    return EncodedData.from_rows(alphabet, rows, labels, held_out, ("without", "with"), None, share, "share of a")


def config_of(system, model=None, steps=200, **run):
    run = RunConfig(
        steps=steps, batch_tokens=600, precision="fp32", eval_every=steps, label_dropout=0.0, checkpoint_every=steps, **run
    )
    optimizer = OptimizerConfig(lr=1e-2, warmup=20, ema=0.98)
    return TrainingConfig({**SIZES, "width": 32} if model is None else model, optimizer=optimizer, run=run, system=system)


def short_run(system, data, out, model=None, **run):
    config, log = config_of(system, model, **run), []
    network, recipe = build(config, data)
    network, _ = train(network, recipe, data, config, out, report=log.append)
    return network.eval(), recipe, log


def test_a_classifier_learns_a_planted_rule_at_every_noise_level(tmp_path):
    data = planted_data()
    network, system, log = short_run("classifier", data, tmp_path / "run")
    figures = quality(network, system, data)
    majority = max(np.mean(data.labels[data.held_out] == k) for k in (0, 1))
    assert figures["accuracy/t=0"] > 0.95 > majority + 0.1
    assert figures["accuracy/t=0"] > figures["accuracy/t=0.5"] > majority - 0.03
    blank = torch.full((1, 6), 5)
    six = (data.lengths == 6) & ~data.held_out
    assert float(network.log_classes(blank)[0, 1].exp()) == pytest.approx(data.labels[six].mean(), abs=0.08)  # E[p(y | x_0)]
    half = torch.tensor([[5, 5, 0, 5, 5, 5]])  # an "a" alone; a "b" follows with probability 1/5
    both = torch.tensor([[5, 5, 0, 1, 5, 5]])
    said = network.log_classes(torch.cat([blank, half, both]))[:, 1].exp()
    assert said[0] < said[1] < 0.5 < said[2]
    checkpoint = to_checkpoint(network, system, data, figures)
    checkpoint.save(tmp_path / "model", "# card\n", dtype="float32")
    loaded = load_checkpoint(tmp_path / "model")
    x_t = torch.tensor([[0, 5, 2, 1, 4, 5]])
    assert torch.equal(loaded.network(x_t), network(x_t))
    assert loaded.system == system
    assert loaded.metrics == figures
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    with pytest.raises(ConfigError, match="it guides a denoiser and cannot fill holes"):
        _ = loaded.denoiser


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_a_regressor_learns_a_planted_number_and_how_sure_it_is(process, tmp_path):
    data = planted_data()
    network, system, log = short_run("regressor", data, tmp_path / "run", {**SIZES, "width": 32, "process": process})
    figures = quality(network, system, data)
    assert figures["correlation/t=0"] > 0.9
    assert figures["correlation/t=0"] > figures["correlation/t=0.5"] > 0.25
    assert figures["rmse/t=0"] < figures["rmse/t=0.5"] < 1.2 * data.targets.std()
    if process == "absorbing":
        x_t = torch.tensor([[5] * 6, [0, 5, 1, 5, 2, 5], [0, 2, 1, 3, 0, 4]])
        mean, deviation = network.number(x_t)
        assert torch.allclose(mean, torch.tensor([10.2, 10 + 1.6 / 6, 10 + 2 / 6]).double(), atol=0.05)
        exact = [(0.16 * holes) ** 0.5 / 6 for holes in (6, 3)]  # of the number of "a" among so many uniform tokens
        assert deviation[:2].tolist() == pytest.approx(exact, rel=0.35)
        assert deviation[2] < 0.5 * deviation[1]
        above = network.log_between(x_t, low=10.25).exp()
        assert above[0] < above[1] < above[2]
    to_checkpoint(network, system, data, {}).save(tmp_path / "model", "", dtype="float32")
    loaded = load_checkpoint(tmp_path / "model")
    assert (loaded.system.target, loaded.system.targets) == ("share of a", None)
    t = torch.tensor([0.3])
    assert torch.equal(loaded.network(torch.tensor([[0, 1, 2]]), t), network(torch.tensor([[0, 1, 2]]), t))


def test_numbers_are_found_by_their_rows_and_kept_in_the_file(tmp_path):
    data = planted_data()
    find = Targets(data)
    some = np.array([3, 700, 41, 1999])
    assert torch.equal(find(data.rows(some, 12)), torch.from_numpy(data.targets[some]))
    for row in (data.rows(some[:1], 6) * 0 + 4, torch.nn.functional.pad(data.rows(some[:1], 12), (0, 1), value=2)):
        with pytest.raises(TrainingError, match="a row is asked for whose number is not known"):
            find(row)
    data.save(tmp_path / "data.safetensors")
    again = EncodedData.load(tmp_path / "data.safetensors")
    assert np.array_equal(again.targets, data.targets)
    assert (again.target, again.digest()) == ("share of a", data.digest())
    assert dataclasses.replace(data, targets=data.targets + 1).digest() != data.digest()
    with pytest.raises(TrainingError, match="expected a number a row"):
        build(config_of("regressor"), dataclasses.replace(data, targets=None))


def test_the_objective_is_the_likelihood_of_the_number_and_rows_of_any_class_teach_nothing():
    data = planted_data()
    network, system = build(config_of("regressor"), data)
    rows = np.flatnonzero(data.lengths == 6)[:8]
    x_0, y = data.rows(rows, 6), torch.from_numpy(data.targets[rows])
    assert isinstance(system, Regression)
    mean, deviation = network.number(x_0)  # at first those of the training rows
    numbers = data.targets[~data.held_out]
    assert torch.allclose(mean, torch.tensor(numbers.mean()))
    assert torch.allclose(deviation, torch.tensor(numbers.std()))
    nats = system.nats(network, x_0, torch.zeros(8), None, x_0, torch.zeros(8))
    expected = -torch.distributions.Normal(mean, deviation).log_prob(y) - np.log(numbers.std())
    assert torch.allclose(nats, expected)
    classes, classification = build(config_of("classifier"), data)
    batch = Rows(x_0, torch.tensor([0, 1, 2, 2, 0, 1, 2, 1]), torch.full((8,), 6), torch.arange(8), 8, False, 0, 0)
    terms = classification.terms(classes, batch)["label"]
    assert (terms == 0).tolist() == [False, False, True, True, False, False, True, False]
    assert terms[0].item() == pytest.approx(6 * np.log(2))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="model.process: expected one of absorbing, uniform; got 'gaussian'"):
        build_system("regressor", {"vocabulary": 3, "labels": 0, "process": "gaussian"}, {"kind": "linear"})
    with pytest.raises(ConfigError, match=r"model.classes: expected 0 \(a number\) or at least 2, got 1"):
        build_system("classifier", {"vocabulary": 3, "labels": 1}, {"kind": "linear"})
    network = Classifier(ClassifierConfig(3, **SIZES))
    with pytest.raises(ConfigError, match="got a regressor; ask it for `log_between`"):
        network.log_classes(torch.zeros(1, 2, dtype=torch.int64))
    with pytest.raises(ConfigError, match="expected one of mdlm, .*, classifier, regressor"):
        build_system("gan", {}, {"kind": "linear"})
    transformer = Transformer(TransformerConfig(3, **SIZES))
    with pytest.raises(ConfigError, match=r"expected x_t of ids"):
        transformer(torch.zeros(1, 2, 3))


def test_the_command_line_trains_a_regressor_of_a_figure_of_molecules(tmp_path):
    from rdkit import Chem
    from rdkit.Chem import QED

    from apps.cli.train import run
    from domains.registry import find_model
    from domains.smiles.domain import encode_training_data

    smiles = [f"C{'C' * n}{end}" for n in range(12) for end in ("O", "N", "c1ccccc1", "C(=O)O", "Cl")]
    (tmp_path / "some.smi").write_text("\n".join([*smiles, "[Xe]"]))
    table = {
        "files": [{"path": "some.smi", "label": "some"}],
        "target": "qed",
        "alphabet": "smiles-small",
        "held_out_percent": 20,
    }
    data = encode_training_data(table, tmp_path)
    for i in (0, 17, 40):
        row = data.alphabet.decode(data.tokens[data.offsets[i] : data.offsets[i + 1]])
        assert data.targets is not None
        assert data.targets[i] == pytest.approx(QED.qed(Chem.MolFromSmiles(row)))
    assert len(data.alphabet) == 67  # the model's; what it has no token for is left out
    assert data.provenance["with_rare_token"] == 1
    with pytest.raises(ConfigError, match=r"data.target: expected one of qed, .*; got 'colour'"):
        encode_training_data(table | {"target": "colour"}, tmp_path)
    (tmp_path / "qed.toml").write_text(
        'domain = "smiles"\nsystem = "regressor"\n[data]\ntarget = "qed"\nalphabet = "smiles-small"\nheld_out_percent = 20\n'
        'files = [{ path = "some.smi", label = "some" }]\n[model]\ntrunk = "smiles-small"\nfrozen = true\n'
        '[run]\nsteps = 2\nbatch_tokens = 50\nprecision = "fp32"\neval_rows = 20\n'
    )
    run(tmp_path / "qed.toml", tmp_path / "run", "cpu", None, None, None)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "Tells the number 'qed', from rows of smiles under noise" in card
    loaded = load_checkpoint(tmp_path / "run" / "model")
    assert f"- correlation/t=0.5: {loaded.metrics['correlation/t=0.5']:.4f}" in card
    assert loaded.network.config.frozen
    bundled = load_checkpoint(find_model("smiles-small", "smiles"))
    taken = loaded.network.trunk.embed.weight
    assert torch.equal(taken, bundled.network.embed.weight)


def tagged_data() -> EncodedData:
    """1,500 rows of tokens a to d; a position is "after" if an a stands before it, of the first nothing is known."""
    random = np.random.default_rng(1)
    rows = []
    for n in random.integers(5, 12, 1500):
        x = random.integers(0, 4, n).tolist()
        y = [6, *(4 + int(before == 0) for before in x[:-1])]
        rows.append([i for pair in zip(x, y, strict=True) for i in pair])
    alphabet = Alphabet("toy", (*"abcd", "other", "after", "unknown"))
    return EncodedData.from_rows(alphabet, rows, [0] * 1500, random.random(1500) < 0.2, ("rows",))


def test_a_tagger_learns_the_classes_of_positions_as_sure_as_noise_lets_it(tmp_path):
    data = tagged_data()
    network, system, _ = short_run(
        "tagger", data, tmp_path / "run", {**SIZES, "width": 32, "convolution": 3, "classes": 2}, steps=100
    )
    figures = quality(network, system, data)
    assert figures["accuracy/t=0"] > 0.98
    # at time t a share t of the a's is masked, and after those "other" is said: 1 - t/4 is the best there is
    assert figures["accuracy/t=0.5"] == pytest.approx(1 - 0.5 / 4, abs=0.04)
    x_t = torch.tensor([[0, 7, 1, 7]])  # a, hole, b, hole
    said = network.log_classes(x_t, torch.tensor([0.5])).exp()[0, :, 1]
    assert said[1] > 0.9 and said[3] < 0.1 and said[2] == pytest.approx(0.25, abs=0.12)
    to_checkpoint(network, system, data, figures).save(tmp_path / "model", "# card\n", dtype="float32")
    loaded = load_checkpoint(tmp_path / "model")
    assert loaded.system == system and torch.allclose(loaded.network.log_classes(x_t).exp()[0, :, 1], said, atol=1e-5)


def test_what_is_unknown_or_padding_teaches_a_tagger_nothing():
    network, system = build_system("tagger", {"vocabulary": 7, "labels": 1, "classes": 2, **SIZES}, {"kind": "linear"})
    shaken(network)
    t = torch.tensor([0.3, 0.3])
    rows = torch.tensor([[0, 6, 1, 5, 2, 4, 8, 8], [0, 6, 1, 5, 2, 6, 3, 6]])
    network.requires_grad_(False)
    nats = system.nats(network, rows, t, torch.tensor([6, 8]), rows, torch.zeros(2, dtype=torch.int64))
    first = network.log_classes(rows[:1, :6:2], t[:1])[0]
    second = network.log_classes(rows[1:, ::2], t[1:])[0]
    assert nats[0] == pytest.approx(float(-(first[1, 1] + first[2, 0]) / 2), abs=1e-5)
    assert nats[1] == pytest.approx(float(-second[1, 1]), abs=1e-5)
    with pytest.raises(ConfigError, match="expected classes, at least 2, of each position"):
        build_system("tagger", {"vocabulary": 7, "labels": 1, **SIZES}, {"kind": "linear"})


def test_leaves_are_what_a_pass_read_in_its_own_thread():
    """Their gradient is that of the one-hots through the table; a pass of another thread, or after, is left alone."""
    network = Classifier(ClassifierConfig(5, width=8, depth=1, heads=2, classes=2, edges=True))
    torch.nn.init.normal_(network.readout[-1].weight)
    x, others = torch.tensor([[0, 5, 3], [1, 2, 4]]), []
    soft = torch.nn.functional.one_hot(x, 6).float().requires_grad_()
    (by_one_hots,) = torch.autograd.grad(network.log_classes(soft)[:, 1].sum(), soft)
    with torch.no_grad(), leaves() as found:
        thread = threading.Thread(target=lambda: others.append(network.log_classes(x)))
        thread.start()
        thread.join()
        assert not found and len(others) == 1
        value = network.log_classes(x)[:, 1]
        (slope,) = torch.autograd.grad(value.sum(), found)
    assert len(found) == 1 and value.allclose(others[0][:, 1], atol=1e-6)
    assert (slope[:, 1:-1] @ network.trunk.embed.weight[:6].T).allclose(by_one_hots, atol=1e-5)
    network.log_classes(x)
    assert len(found) == 1
