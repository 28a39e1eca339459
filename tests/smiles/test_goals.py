"""Goals by hand, spans that may be cut, and campaigns on molecules with what is pinned kept."""

import numpy as np
import pytest

from domains.campaign.archive import Archive, Candidate
from domains.optimise import OptimiseSpec, optimise
from domains.smiles.goals import CAMPHOR, CELECOXIB, LOGP, MENTHOL, MINUS_CYCLE, MINUS_SA, read_goal
from domains.smiles.pieces import canonical, pieces_of, pinned_part, relabelled, scaffold
from domains.smiles.redesign import Moves, Redesign, shared_syntax
from seqdiff.errors import ConfigError
from tests.tiny_model import tiny_checkpoint

CHIRAL = "C[C@H](N)c1ccc(OC)cc1"
MOLECULES = (CHIRAL, "CC(=O)Nc1ccc(O)cc1", "C1CC2CCC1CC2", "N#Cc1cnc2ccccc2c1C(F)(F)F", "O=C(/C=C/c1ccco1)N1CCOCC1")
FEW = {"max_atoms": 38, "batch": 12}  # few rows: the tests' model is a random one


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


@pytest.mark.parametrize("smiles", MOLECULES)
def test_every_span_can_be_taken_out_and_carbons_put_in(smiles):
    """A span balances its own branches and rings, so that an atom in its place always reads as SMILES."""
    from rdkit import Chem, rdBase

    rng = np.random.default_rng(0)
    piece = pieces_of(smiles, (), rng)
    assert canonical("".join(piece.tokens), 99) == canonical(smiles, 99)
    spans = piece.spans(single=False)
    assert len(spans) > len(piece.tokens) and set(piece.spans(single=True)) < set(spans)
    with rdBase.BlockLogs():
        for i, j in spans:
            text = "".join((*piece.tokens[:i], "C", *piece.tokens[j:]))
            assert Chem.MolFromSmiles(text, sanitize=False) is not None, text


def test_a_cut_through_single_bonds_leaves_rings_whole():
    rng = np.random.default_rng(1)
    for _ in range(10):
        piece = pieces_of("CC(=O)Nc1ccc(O)cc1", (), rng)
        for i, j in piece.spans(single=True):
            inside = piece.tokens[i:j]
            assert inside.count("c") in (0, 6)
            if "=" in inside:  # both ends of the double bond
                k = inside.index("=")
                assert {"C", "O"} <= {*inside[:k], inside[k + 1]}


def test_rings_of_two_owners_are_told_apart():
    tokens = [*[(t, 0) for t in "C1CC"], *[(t, 1) for t in "C1CC1"], *[(t, 0) for t in "C1"]]
    assert "".join(relabelled(tokens, ["1", "2", "3"]) or []) == "C1CCC2CC2C1"  # type: ignore[arg-type]
    assert relabelled(tokens, ["1"]) is None


def test_what_is_pinned_is_compared_with_its_stereo():
    same, other = "C[C@H](N)CCO", "C[C@@H](N)CCO"
    assert pinned_part(same, (0, 1, 2)) == pinned_part("N[C@@H](C)CCO", (2, 1, 0))
    assert pinned_part(same, (0, 1, 2)) != pinned_part(other, (0, 1, 2))
    assert pinned_part("CC=O", (0, 1, 2)) != pinned_part("CCO", (0, 1, 2))
    assert scaffold("CCc1ccccc1") == "c1ccccc1"


def test_one_automaton_serves_templates_with_any_rings():
    alphabet = tiny_checkpoint().alphabet
    chain, pinned = shared_syntax(alphabet)
    one, two, dot = alphabet.ids["1"], alphabet.ids["2"], alphabet.ids["."]
    classes = chain.automaton.classes
    assert pinned == len(classes) - 1 == 4
    assert classes[0, one] == classes[1, two] and classes[1, one] == classes[0, dot] == classes[3, one]


def started(*smiles: str) -> list[Candidate]:
    return [Candidate(str(canonical(s, 99)), s) for s in smiles]


def test_redesigns_are_molecules_of_their_parents():
    redesign = Redesign(tiny_checkpoint(), started(*MOLECULES[1:3]), Moves(**FEW))
    archive = Archive()
    for candidate in redesign.start(np.random.default_rng(0)):
        archive.add(candidate, 0.0, 0)
    made = [redesign.propose(archive, np.random.default_rng(seed)) for seed in range(3)]
    again = [redesign.propose(archive, np.random.default_rng(seed)) for seed in range(3)]
    assert made == again and {"redesign", "graft"} == {c.how for batch in made for c in batch}
    assert all(canonical(c.written, 38) == c.text and set(c.parents) <= {0, 1} for batch in made for c in batch)
    assert made[0] != made[1]


def test_pins_stay_through_a_whole_campaign_and_it_resumes(tmp_path):
    from rdkit import Chem

    fields = {"template": "{1-4}C(=O)Nc1ccc({1-5})cc1", "budget": 36, "first": 20, "checkpoint": tiny_checkpoint()}
    found = optimise("qed", moves=FEW, **fields)
    scaffold_of = Chem.MolFromSmiles("C(=O)Nc1ccccc1")
    assert len(found.entries) == 36 and {"redesign", "graft"} & {e.how for e in found.entries}
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


def test_wrong_requests_say_what_to_do():
    with pytest.raises(ConfigError, match="budget: expected 1 to 1,000,000, got 0"):
        OptimiseSpec("qed", budget=0)
    with pytest.raises(ConfigError, match="cut: expected 0 to 200, got -1"):
        Moves(cut=-1)
    with pytest.raises(ConfigError, match="none of the 2 is one"):
        optimise("qed", start=["C.C", "X"], checkpoint=tiny_checkpoint())
    with pytest.raises(ConfigError, match="expected a start or a template, got both"):
        optimise("qed", start=["C"], template="C{2}", checkpoint=tiny_checkpoint())
