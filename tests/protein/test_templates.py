"""Templates, contigs and selections: what is pinned, what is designed, and which residues are meant."""

import pytest

from constraints.template import Gap
from domains.protein.contig import resolve
from domains.protein.data import PROTEIN
from domains.protein.structure import read_structure
from domains.protein.template import parse_template
from seqdiff.alphabet import Alphabet
from seqdiff.errors import SeqdiffError, TemplateError
from tests.protein.files import cif, pdb


def parts(text):
    return [part if isinstance(part, Gap) else PROTEIN.decode(part) for part in parse_template(text, PROTEIN).parts]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("MK{4-9}LA", ["MK", Gap(4, 9), "LA"]),
        ("M__K_ _<mask>L", ["M", Gap(2, 2), "K", Gap(3, 3), "L"]),
        ("MK[MASK][MASK]_LA", ["MK", Gap(3, 3), "LA"]),
        ("M__{2-3}_", ["M", Gap(2, 2), Gap(2, 3), Gap(1, 1)]),
        ("{5}/MK{3}", [Gap(5, 5), "/", "MK", Gap(3, 3)]),
        ("MK\nLA{2}\n", ["MKLA", Gap(2, 2)]),
        ("10-40,FSLF,3,/0,5-6", [Gap(10, 40), "FSLF", Gap(3, 3), "/", Gap(5, 6)]),
        ("10-40/FSLF/0 0-5", [Gap(10, 40), "FSLF", "/", Gap(0, 5)]),
        ("10/0-5/MK", [Gap(10, 10), Gap(0, 5), "MK"]),
    ],
)
def test_template_texts(text, expected):
    assert parts(text) == expected


def test_chains_are_regions_by_name():
    template = parse_template("MK{2-4}L/{3}/AC_", PROTEIN)
    canvas = template.canvas((4, 3, 1), PROTEIN.mask)
    assert canvas.regions == {"chain1": (0, 7), "chain2": (8, 11), "chain3": (12, 15)}


def test_no_gap_holds_an_unknown_residue_or_a_chain_break():
    assert parse_template("MK{4}", PROTEIN).banned == {PROTEIN.ids["X"], PROTEIN.ids["/"]}


@pytest.mark.parametrize(
    "text, message",
    [
        ("MKX{3}", "template, character 3: X is an unknown residue; write _"),
        ("MkL{3}", "template, character 2: lower case means an insertion in alignments; write K"),
        ("MJL{3}", "template, character 2: 'J' is none of the twenty amino acids"),
        ("MK*{3}", "template, character 3: '*' is no amino acid; write _"),
        ("{9}:{9}", "template, character 4: ':' is no amino acid; chains are parted by /"),
        ("MK{3", "template, character 3: expected a gap such as"),
        ("MK{4-3}", "template, character 3: the gap's range is empty: 4 is more than 3"),
        ("{0}", "the gap has no room"),
        ("/MK{3}", "template, character 1: a chain break with no chain before it"),
        ("MK{3}//L", "template, character 7: a chain break with no chain before it"),
        ("MK{3}/", "template, character 6: a chain break with no chain after it"),
        ("  ", "got an empty text"),
        ("10-40/A163-181/5", "A163-181 names residues of a structure"),
        ("mask 3-5 of chain H", "a selection speaks of a structure"),
        ("10-40/?/5", "expected a length (10-40), residues (A163-181) or letters, got '?'"),
        ("40-10/MK", "expected lengths such as 12 or 10-40, got '40-10'"),
        ("A" * 20_001, "expected at most 20,000 characters"),
    ],
)
def test_bad_templates_mark_the_place(text, message):
    with pytest.raises(TemplateError) as error:
        parse_template(text, PROTEIN)
    assert message in str(error.value)


def test_a_model_without_chain_break():
    with pytest.raises(TemplateError, match="knows no chain break"):
        parse_template("MK{3}/L", Alphabet("protein", tuple("ACDEFGHIKLMNPQRSTVWY")))


@pytest.fixture(params=[pdb, cif], ids=["pdb", "cif"])
def residues(request, tmp_path):
    return read_structure(request.param(tmp_path / f"test.{request.param.__name__}"))


@pytest.mark.parametrize(
    "contig, template, constraint",
    [
        ("10-40/H99-101/10-40", "{10-40}ACDGY{10-40}", None),
        ("10-40,H100-100B,5", "{10-40}CDG{5}", None),
        ("H100A-H101/3/H105-106", "DGY{3}WM", None),
        ("5/L-1-1/5", "{5}GKE{5}", None),
        ("L:-1-0/4", "GK{4}", None),
        ("H100A/2-3/0 L0-1 length=8-9", "D{2-3}/KE", "length(9..10)"),
        ("5-15/H105-106/30-40/0 L-1-1", "{5-15}WM{30-40}/GKE", None),
        ("2,H99-101,2 length=9-9 inpaint_seq=[H100A-100B/H99]", "{2}_C__Y{2}", "length(9..9)"),
        ("'contigmap.contigs=[2/H99-100/2]' contigmap.length=6-6", "{2}AC{2}", "length(6..6)"),
        ("contig: 2-4,/0,L0-1 length: 5-6", "{2-4}/KE", "length(6..7)"),
        ("2–4/H99–100", "{2-4}AC", None),
        ("20-30 unindex=[H99-100/L-1-1]", "{20-30}", 'within(gap1, regex(".*AC.*GKE.*|.*GKE.*AC.*"))'),
    ],
)
def test_contigs_take_the_residues_that_are_meant(residues, contig, template, constraint):
    resolved = resolve(contig, residues)
    assert (resolved.template, resolved.constraint) == (template, constraint)
    parse_template(resolved.template, PROTEIN)


def test_other_numberings_and_what_is_said_of_them(tmp_path):
    residues = read_structure(cif(tmp_path / "a.cif"))
    assert resolve("3/A3-5/3", residues, "label").template == "{3}DGY{3}"
    assert resolve("3/H2-4/3", residues, "index").template == "{3}DGY{3}"
    picked = resolve("3/H100A-101/3", residues).picked
    assert picked[1] == "H100A-101: DGY, author H 100A–101, label A 3–5, index 2–4"


@pytest.mark.parametrize(
    "contig, message",
    [
        ("3/H99-106/3", "H99-106: chain H is broken between 101 and 105, residues are missing"),
        ("3/H98-100/3", "chain H has no residue 98"),
        ("3/H101-99/3", "H101-99 ends before it begins"),
        ("3/Q1-2/3", "there is no chain 'Q'"),
        ("2/0 20 unindex=W", "expected one gap for unindex to place motifs in, as in 60-80 unindex=[…], got 2"),
        ("20 unindex=W/C/K/MM/Y", "expected one to 4 motifs in unindex, got 5"),
        ("20 unindex=[H99-106]", "residues are missing"),
        ("3/H99-100/3 inpaint_seq=[H105]", "inpaint_seq names residues that the contig does not take: H 105"),
    ],
)
def test_contigs_that_cannot_be(residues, contig, message):
    with pytest.raises(SeqdiffError) as error:
        resolve(contig, residues)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "selection, template",
    [
        ("mask -1,1 of chain L", "_K_"),
        ("mask 100-105 of chain H as 2-6", "A{2-6}M"),
        ("mask 100A-105 of chain H as 4; mask 0 of chain L", "AC{4}M/G_E"),
        ("keep chain L; mask 101-105 of chain H as 5", "ACDG{5}M/GKE"),
        ("mask -1-0, 1 of chain L", "___"),
        ("Mask residues -1-0 of chain L", "__E"),
        ("mask chain L", "___"),
        ("mask chain H as 20-30; keep chain L", "{20-30}/GKE"),
    ],
)
def test_selections_pin_the_rest_of_the_chains_they_name(residues, selection, template):
    assert resolve(selection, residues).template == template


@pytest.mark.parametrize(
    "selection, message",
    [
        ("mask 100-100B of chain H", "chain H: chain H is broken between 101 and 105"),
        ("mask 99-105 of chain H", "99-105 of chain H: chain H is broken between 101 and 105"),
        ("mask 0 of chain L; mask -1-0 of chain L", "two masks of chain L overlap"),
        ("mask 0 of chain L; mask 0-1 of chain L", "two masks of chain L overlap at author L 0–0"),
        ("mask 0,1 of chain L as 3", "'as' gives one range its length"),
        ("keep chain L", "nothing is masked"),
        ("mask chain H", "chain H is broken between 101 and 105"),
        ("mask loop of chain L", "expected residues such as 24-35 or 100A, got 'loop'"),
        ("mask 3 in chain L", "selection: expected 'mask 24-35 of chain H'"),
        ("mask 3 of chain Q", "there is no chain 'Q'"),
    ],
)
def test_selections_that_cannot_be(residues, selection, message):
    with pytest.raises(SeqdiffError) as error:
        resolve(selection, residues)
    assert message in str(error.value)
