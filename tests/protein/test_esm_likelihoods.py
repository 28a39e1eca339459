"""Pseudo-perplexity against the naive loop, under our networks and ESM's; contact maps and their picture."""

import math

import pytest
import torch

from domains.protein.data import PROTEIN
from domains.protein.likelihoods import pseudo_perplexity, residue_log_p
from domains.protein.pretrained.contacts import contact_map, draw_contacts
from domains.protein.pretrained.importing import import_esm
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError, TemplateError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Linear
from seqdiff.systems.d3pm import D3PM
from seqdiff.systems.mdlm import MDLM
from tests.protein.esm_files import fair_network, write_hugging_face

TEXTS = ["MKVLAWDEFGHIKNPQRSTVY", "GGGGGG", "W", "MKVXLAW/DEFG"]


def own(time_input: bool = False) -> Checkpoint:
    config = TransformerConfig(len(PROTEIN), width=16, depth=1, heads=2, time_input=time_input)
    network, generator = Transformer(config), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    system = MDLM(Absorbing(PROTEIN.mask, Linear()))
    return Checkpoint(network.eval().requires_grad_(False), system, PROTEIN, (), {"all": [0, *[1] * 200]})


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    pytest.importorskip("esm")
    root = tmp_path_factory.mktemp("esm")
    write_hugging_face(root / "hf")
    import_esm(str(root / "hf"), root / "model")
    return load_checkpoint(root / "model")


def naive(checkpoint: Checkpoint, text: str) -> float:
    """One pass a residue, all logits."""
    ids, total, count = PROTEIN.encode(list(text)), 0.0, 0
    for i, letter in enumerate(text):
        if letter in "X/":
            continue
        x_t = torch.tensor([[*ids[:i], PROTEIN.mask, *ids[i + 1 :]]])
        law = checkpoint.denoiser(x_t, torch.tensor([1 / len(ids)])).double()[0, i].log_softmax(-1)
        total, count = total + float(law[ids[i]]), count + 1
    return math.exp(-total / count)


@pytest.mark.parametrize("time_input", [False, True])
def test_pseudo_perplexity_is_the_naive_loops(time_input):
    checkpoint = own(time_input)
    expected = [naive(checkpoint, text) for text in TEXTS]
    for batch_tokens in (1, 50, 8192):
        assert pseudo_perplexity(checkpoint, TEXTS, batch_tokens=batch_tokens) == pytest.approx(expected, rel=1e-5)


def test_pseudo_perplexity_under_esm_is_fair_esms(imported):
    assert pseudo_perplexity(imported, TEXTS) == pytest.approx([naive(imported, text) for text in TEXTS], rel=1e-4)
    fair, text = fair_network("esm2"), TEXTS[0]
    letters = imported.network.config.ids[:20]
    tokens = torch.tensor([[0, *(imported.network.config.ids[i] for i in PROTEIN.encode(text)), 2]])
    total = 0.0
    for i in range(len(text)):
        x = tokens.clone()
        x[0, i + 1] = 32
        with torch.no_grad():
            law = fair(x)["logits"][0, i + 1, list(letters)].double().log_softmax(-1)
        total += float(law[PROTEIN.encode(text)[i]])
    assert pseudo_perplexity(imported, [text]) == pytest.approx([math.exp(-total / len(text))], rel=1e-5)


CASES = {
    "lower case": ("MKv", "character 3: 'v' is none of the letters of a protein; write V"),
    "J": ("MKJ", "'J' is none of the letters of a protein; replace it, or write X"),
    "star": ("MKV*", r"character 4: '\*' is none"),
    "empty": ("", "got an empty text"),
    "blank": (" \n", "got an empty text"),
    "only X": ("XX", "at least one of the twenty amino acids"),
    "10,000 residues": ("M" * 10_000, r"10,000 letters, but the model's rows have at most 1,022"),
}


@pytest.mark.parametrize("case", CASES)
def test_odd_sequences_are_refused(imported, case):
    text, message = CASES[case]
    with pytest.raises(TemplateError, match=message):
        pseudo_perplexity(imported, [text])


def test_spaces_mean_nothing(imported):
    assert torch.equal(residue_log_p(imported, "MKV LAW\n"), residue_log_p(imported, "MKVLAW"))


def test_a_model_that_is_not_masked_is_refused():
    checkpoint = own(True)
    other = Checkpoint(checkpoint.network, D3PM(Uniform(22, Linear())), PROTEIN, (), {"all": [0, 1]})
    with pytest.raises(ConfigError, match="expected a masked model, got one whose process is Uniform"):
        pseudo_perplexity(other, ["MKV"])


def test_contact_map_and_its_picture(imported, tmp_path):
    from PIL import Image

    text = TEXTS[0]
    touching = contact_map(imported, text)
    fair = fair_network("esm2")
    tokens, _ = imported.network.frame(torch.tensor([PROTEIN.encode(text)]))
    with torch.no_grad():
        torch.testing.assert_close(touching, fair.predict_contacts(tokens)[0])
    assert contact_map(imported, "MKVLAW/DEFG").shape == (11, 11)
    draw_contacts(imported, text, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        colors = picture.convert("RGB").getcolors(1 << 24)
    assert picture.size == (900, 810) and colors is not None and len(colors) > 100
    with pytest.raises(ConfigError, match="expected an imported ESM model, got a Transformer"):
        contact_map(own(), text)
