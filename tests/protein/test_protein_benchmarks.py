"""What the benchmarks of proteins count with: features, judges and reliability; natural stretches; what must hold at once."""

import numpy as np
import pytest
import torch

from benchmarks.guidance_amp import Judge, features, reliability
from benchmarks.protein_designs import judged, natural
from benchmarks.protein_everything import HELIX, MOTIFS, figures, kept, request, windows
from benchmarks.protein_everything import Judge as HelixJudge
from benchmarks.protein_everything import chains as states_of
from domains.design import design
from domains.protein import AMINO_ACIDS
from domains.protein.states import TAGGED
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint
from seqdiff.training.data import EncodedData


def test_features_by_hand():
    row = features(["KKAK"])[0]
    k, a = AMINO_ACIDS.index("K"), AMINO_ACIDS.index("A")
    assert row[k] == 0.75 and row[a] == 0.25 and row[:20].sum() == pytest.approx(1)
    pairs = {(k, k): 1 / 3, (k, a): 1 / 3, (a, k): 1 / 3}
    assert all(row[20 + 20 * i + j] == pytest.approx(share) for (i, j), share in pairs.items())
    assert row[20:420].sum() == pytest.approx(1) and row[420] == pytest.approx(0.75)


def test_the_judge_learns_a_planted_rule_and_the_ridge_decides_how_sure_it_is():
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list(AMINO_ACIDS), 20)) for _ in range(160)]
    y = torch.tensor([text.count("K") > text.count("E") for text in texts])
    judge = Judge.fit(texts[:120], y[:120], 0.01)
    assert reliability(judge(texts[120:]), y[120:])["auc"] > 0.75
    meek = torch.tensor(Judge.fit(texts[:120], y[:120], 1000.0)(texts[120:]))
    assert float((meek - y[:120].double().mean()).abs().max()) < 0.02


def test_reliability_by_hand():
    found = reliability([0.9, 0.4, 0.4, 0.6], torch.tensor([True, True, False, False]))
    assert found == {"accuracy": 0.5, "auc": 0.625, "amps_called": 0.5, "others_called": 0.5}


def test_a_natural_stretch_has_the_motifs_where_it_says():
    chain = "".join(AMINO_ACIDS[i % 19] for i in range(300))
    task = {"chain_sequence": chain, "motifs": f"{chain[100:110]}|{chain[130:135]}", "motif_starts_0based": "100|130"}
    text, places = natural(task | {"scaffold_length_max": "80"})
    assert len(text) == 80 and text in chain and places[0] == 23
    assert "".join(text[i] for i in places) == chain[100:110] + chain[130:135]
    short, places = natural(task | {"chain_sequence": chain[:140], "scaffold_length_max": "200"})
    assert short == chain[:140] and places[0] == 100


def test_even_chances_are_judged_as_log_twenty():
    found = judged(load_checkpoint(find_model("protein-random", "protein")), [("MKVLAW", [0, 1]), ("GGHTRRAA", [])], 4, 0)
    assert found["judged_bound"] == pytest.approx(np.log(20), abs=1e-3) and found["judged_error"] == pytest.approx(0, abs=1e-3)
    assert found["pseudo_perplexity"] == pytest.approx(20, abs=0.02)


GAP, TAIL = "KKKKK" + "A" * 19, "LLLLLLLLL"  # 62 residues in all, net charge +3
GOOD = f"M{MOTIFS[0]}{GAP}{MOTIFS[1]}{TAIL}"


@pytest.mark.parametrize(
    "broken, why",
    [
        ("", set()),
        (GOOD.replace("KKKKKAA", "KKKKHHA"), {"charge"}),  # +2.2
        (GOOD.replace("KKKKKAAAA", "KKKKKKKKK"), {"charge"}),
        (GOOD.replace("AAAA", "CAAC", 1), {"cysteines"}),
        (GOOD.replace("AAAA", "NASA", 1), {"sequons"}),
        (GOOD.replace("AAAA", "NPSA", 1), set()),
        (GOOD.replace("AAAA", "AAXA", 1), {"letters"}),
        (GOOD[:-2], {"motifs"}),  # the last gap is too short
        (GOOD.replace(TAIL, TAIL[:2] + TAIL).replace("MMEMD", "M" * 6 + "MEMD"), {"motifs"}),
        (GOOD.replace("DGNDLE", "DGNELE"), {"motifs"}),
        (GOOD.replace(TAIL, 2 * TAIL + "AA").replace(GAP, GAP + "AAAA"), {"length"}),
    ],
)
def test_what_must_hold_is_told_from_the_text(broken, why):
    chain = broken or GOOD
    assert {name for name, holds in kept(f"{chain}/{chain}").items() if not holds} == why


def test_unlike_chains_are_no_homodimer():
    assert [name for name, holds in kept(f"{GOOD}/{GOOD[:-1]}V").items() if not holds] == ["like"]


def test_the_region_lies_between_the_motifs_whatever_the_lengths():
    for before, between in ((0, 22), (0, 28), (4, 22), (4, 28)):
        first = before + len(MOTIFS[0])
        assert first <= HELIX[0] and HELIX[1] < first + between


def test_figures_count_what_was_asked_for():
    parts = [
        {"asked": 3, "designs": [f"{GOOD}/{GOOD}", f"{GOOD}/{GOOD[:-1]}V"], "bounds": [], "violations": 0, "cpu_seconds": 6.0},
        {"asked": 1, "designs": [f"{GOOD}/{GOOD}"], "bounds": [], "violations": 1, "cpu_seconds": 2.0},
    ]
    found = figures(parts, None)
    assert (found["asked"], found["returned"], found["all_kept"], found["like"], found["distinct"]) == (4, 3, 2, 2, 1)
    assert (found["violations"], found["cpu_seconds_a_design"]) == (1, 2.0)


def test_windows_are_centred_and_end_with_the_chain():
    x = windows("MKX").reshape(3, 17, 20)
    at = {(i, k, AMINO_ACIDS[v]) for i, k, v in np.argwhere(x).tolist()}
    assert at == {(0, 8, "M"), (0, 9, "K"), (1, 7, "M"), (1, 8, "K"), (2, 6, "M"), (2, 7, "K")}


def test_the_judge_of_helices_learns_what_stands_two_places_before():
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list("AGSV"), 60)) for _ in range(30)]
    held = [(text, "-C" + "".join("H" if letter == "A" else "C" for letter in text[:-2])) for text in texts]
    judge = HelixJudge.fit(held)
    said = judge("GGGGAGGGG").tolist()
    assert int(np.argmax(said)) == 6 and said[6] > 0.8 and max(said[:6] + said[7:]) < 0.2
    assert judge.region("G" * 14 + "A" + "G" * 20) == pytest.approx(float(judge("G" * 14 + "A" + "G" * 20)[12:28].mean()))


def test_chains_of_one_side_with_states_that_are_not_known():
    ids = [[*TAGGED.encode(["M", "helix", "K", "unknown"])], [*TAGGED.encode(["G", "coil", "X", "strand"])]]
    data = EncodedData.from_rows(TAGGED, ids, [0, 0], [False, True], ("chains",))
    assert states_of(data, False) == [("MK", "H-")] and states_of(data, True) == [("GX", "CE")]


@pytest.mark.slow
def test_everything_at_once_holds_in_designs_of_even_chances():
    template, constraint = request()
    fields = {"template": template, "constraint": constraint, "model": "protein-random", "n": 24, "steps": 8, "bound_draws": 0}
    made = design(domain="protein", **fields).designs
    assert len(made) == 24 and all(all(kept(item.sequence).values()) for item in made)
