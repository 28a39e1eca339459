"""Goals by hand, and campaigns on molecules with what is pinned kept."""

import pytest

from domains.optimise import OptimiseSpec, optimise
from domains.smiles.goals import CAMPHOR, CELECOXIB, LOGP, MENTHOL, MINUS_CYCLE, MINUS_SA, read_goal
from domains.smiles.pieces import pinned_part, scaffold
from seqdiff.errors import ConfigError
from tests.tiny_model import tiny_checkpoint

FEW = {"max_atoms": 38, "batch": 12, "pool": 2, "draws": 2}  # few rows: the tests' model is a random one


def test_rediscovery_and_median_reach_one_at_their_targets():
    assert read_goal("celecoxib")(CELECOXIB) == pytest.approx(1)
    median = read_goal("median1")
    assert median(CAMPHOR) == median(MENTHOL) == pytest.approx(read_goal(f"similarity({CAMPHOR})")(MENTHOL) ** 0.5)
    assert 0 < median(CAMPHOR) < 1


def test_similarity_counts_environments():
    """Nonane and decane have the same environments; how often they occur tells them apart."""
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    one, two = (
        rdFingerprintGenerator.GetMorganGenerator(radius=2)
        .GetSparseCountFingerprint(Chem.MolFromSmiles(s))
        .GetNonzeroElements()
        for s in ("CCCCCCCCC", "CCCCCCCCCC")
    )
    keys = {*one, *two}
    expected = sum(min(one.get(k, 0), two.get(k, 0)) for k in keys) / sum(max(one.get(k, 0), two.get(k, 0)) for k in keys)
    assert set(one) == set(two) and expected < 1
    assert read_goal("similarity(CCCCCCCCC)")("CCCCCCCCCC") == pytest.approx(expected)


def test_penalised_logp_is_the_sum_of_its_standardised_parts():
    from rdkit import Chem
    from rdkit.Chem import Crippen
    from rdkit.Contrib.SA_Score import sascorer  # type: ignore[import-not-found]

    for smiles, beyond in (("CCCCCC", 0), ("C1CCCCCCC1", 2)):
        molecule = Chem.MolFromSmiles(smiles)
        parts = Crippen.MolLogP(molecule), -sascorer.calculateScore(molecule), -beyond  # type: ignore[attr-defined]
        expected = sum((x - m) / d for x, (m, d) in zip(parts, (LOGP, MINUS_SA, MINUS_CYCLE), strict=True))
        assert read_goal("plogp")(smiles) == pytest.approx(expected)


def test_a_wish_and_a_function_are_goals():
    wish = read_goal("logp >= 3")
    assert wish("CCCCCCCCCC") == 0 > wish("CO")
    assert read_goal(len)("CCO") == 3 and read_goal(len).name == "builtins:len"
    with pytest.raises(ConfigError, match="goal: expected qed, plogp, celecoxib, median1, similarity"):
        read_goal("handsome")
    with pytest.raises(ConfigError, match="does not read 'X'"):
        read_goal("similarity(X)")


def test_what_is_pinned_is_compared_with_its_stereo():
    same, other = "C[C@H](N)CCO", "C[C@@H](N)CCO"
    assert pinned_part(same, (0, 1, 2)) == pinned_part("N[C@@H](C)CCO", (2, 1, 0))
    assert pinned_part(same, (0, 1, 2)) != pinned_part(other, (0, 1, 2))
    assert pinned_part("CC=O", (0, 1, 2)) != pinned_part("CCO", (0, 1, 2))
    assert scaffold("CCc1ccccc1") == "c1ccccc1"


def test_pins_stay_through_a_whole_campaign_and_it_resumes(tmp_path):
    from rdkit import Chem

    fields = {"template": "{1-4}C(=O)Nc1ccc({1-5})cc1", "budget": 36, "first": 20, "checkpoint": tiny_checkpoint()}
    found = optimise("qed", moves=FEW, **fields)
    scaffold_of = Chem.MolFromSmiles("C(=O)Nc1ccccc1")
    assert len(found.entries) == 36 and {"redesign", "graft", "tweak"} & {e.how for e in found.entries}
    for entry in found.entries:
        molecule = Chem.MolFromSmiles(entry.written)
        assert molecule.HasSubstructMatch(scaffold_of)
        ring = [molecule.GetAtomWithIdx(i) for i in entry.pins[3:]]
        free = [atom for atom in ring if any(n.GetIdx() not in entry.pins for n in atom.GetNeighbors())]
        assert len(entry.pins) == 9 and len(free) <= 1  # only the place with a gap grew
    assert found.best[0].score == max(e.score for e in found.entries)

    calls = [0]

    def qed(smiles):
        calls[0] += 1
        if calls[0] == 30:
            raise KeyboardInterrupt
        return read_goal("qed")(smiles)

    path = tmp_path / "campaign.json"
    broken = optimise(qed, path=path, moves=FEW, **fields)
    assert not broken.complete
    whole = optimise(qed, path=path, moves=FEW, **fields)
    assert [e.text for e in whole.entries] == [e.text for e in found.entries] and whole.auc_top10 == found.auc_top10

    path.write_text(path.read_text().replace('"edit"', '"ring"', 1))  # a file of other kinds of moves
    with pytest.raises(ConfigError, match="its kinds of moves is .*ring"):
        optimise(qed, path=path, moves=FEW, **fields)


def test_stereoisomers_do_not_crowd_out_other_parents():
    """Of those of one score the first is a parent, the others are not; molecules of another graph are."""
    start = ["C[C@H](N)CCO", "C[C@@H](N)CCO", "CC(N)CCO", "CCCCCO"]
    found = optimise(lambda smiles: 1.0, start=start, budget=24, moves=FEW, checkpoint=tiny_checkpoint())
    parents = {call for entry in found.entries for call in entry.parents}
    assert {0, 3} <= parents and parents.isdisjoint({1, 2})


def test_wrong_requests_say_what_to_do():
    with pytest.raises(ConfigError, match="budget: expected 1 to 1,000,000, got 0"):
        OptimiseSpec("qed", budget=0)
    with pytest.raises(ConfigError, match="none of the 2 is one"):
        optimise("qed", start=["C.C", "X"], checkpoint=tiny_checkpoint())
    with pytest.raises(ConfigError, match="expected a start or a template, got both"):
        optimise("qed", start=["C"], template="C{2}", checkpoint=tiny_checkpoint())
