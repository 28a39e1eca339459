"""Contigs and selections: what of a known structure stays, and what is designed, as a template.

    10-40/A163-181/10-40          designed, residues 163 to 181 of chain A, designed; the comma form 10-40,A163-181,10-40 too
    5-15/A10-25/30-40/0 B1-100    /0 ends a chain
    … length=60-80                residues in all, chain breaks not counted
    … inpaint_seq=[A165/A170-172] residues of the contig that are designed after all
    60-80 unindex=[A16-35/A52-71] runs of residues that stand somewhere in the gap, apart, in any order; at most four
    10-40/FSLFDKDG/10-40          letters stand for themselves
    H:100-100B                    any chain name, before a colon; insertion codes after the number

    mask 24-35 of chain H         chain H, with these residues designed
    mask 95-102 of chain H as 8-14; mask 24-34 of chain L; mask chain D; keep chain C

The second kind takes the chains that it names, whole. A contig may be written as RFdiffusion's command line has it, with
brackets, quotes and `contigmap.contigs=`. Numbers are the author's unless another numbering is asked for.
"""

import re
from dataclasses import dataclass
from itertools import permutations

from domains.protein.data import BREAK, UNKNOWN
from domains.protein.structure import Residue, place_of
from seqdiff.errors import ConfigError, TemplateError, marked

END = r"-?\d+[A-Z]?"
MOTIF = re.compile(rf"(?:([A-Za-z]+)|([A-Za-z0-9]+):)({END})(?:-(?:\1(?=.))?({END}))?")
LENGTHS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
TOTAL = re.compile(r"\blength\s*[=:]\s*\[?(\d{1,5})(?:\s*-\s*(\d{1,5}))?\]?")
INPAINT = re.compile(r"\binpaint_seq\s*[=:]\s*\[?([^\]\s]*)\]?")
UNINDEX = re.compile(r"\bunindex\s*[=:]\s*\[?([^\]\s]*)\]?")
AROUND = re.compile(r"""['"]|\bcontigmap\.|\bcontigs?\s*[=:]""")  # what a command line or a table has around a contig
ANYWHERE = 4  # motifs without a place: their orders are all written out
CHAIN_BREAK = re.compile(r"(?<=[/,\s])0(?=[,\s/]|$)")
SELECTION = re.compile(
    r"(?:[Mm]ask\s+(?:(?:residues?\s+)?(?P<ranges>\S+(?:\s*,\s*\S+)*)\s+of\s+)?chain\s+(?P<chain>\w+)"
    r"(?:\s+as\s+(?P<low>\d{1,5})(?:-(?P<high>\d{1,5}))?)?"
    r"|[Kk]eep\s+chain\s+(?P<kept>\w+))"
)


@dataclass(frozen=True)
class Resolved:
    """A template's text, with what else was asked.

    Attributes:
        template: in the notation of `domains.protein.template`.
        constraint: a total length as a constraint, None if none was asked.
        picked: one line a pinned run or gap, saying where it comes from under all numberings.
    """

    template: str
    constraint: str | None
    picked: tuple[str, ...]


def is_contig(text: str) -> bool:
    """Whether lengths stand outside of braces, or a selection: to be resolved first."""
    return is_selection(text) or ("{" not in text and re.search(r"[\d,]", text) is not None)


def is_selection(text: str) -> bool:
    """Whether it begins as "mask 24-35 of chain H" or "keep chain L" do."""
    return re.match(r"\s*([Mm]ask|[Kk]eep)\s", text) is not None


def resolve(text: str, residues: list[Residue], numbering: str = "author") -> Resolved:
    """A contig or a selection over a structure, as a template. Raises TemplateError or ConfigError saying what is wrong."""
    text = text.replace("–", "-")
    if is_selection(text):
        return _selection(text, residues, numbering)
    return _contig(AROUND.sub(" ", text).strip(), residues, numbering)


def _contig(text: str, residues: list[Residue], numbering: str) -> Resolved:
    total, inpaint, unindex = (option.search(text) for option in (TOTAL, INPAINT, UNINDEX))
    plain = text
    for found in (total, inpaint, unindex):
        plain = plain.replace(found.group(), " ") if found else plain
    plain = re.sub(r"[\[\]]", " ", plain)
    free = set()
    if inpaint:
        for piece in re.split(r"[/,]", inpaint[1]):
            free |= set(_run(piece, residues, numbering, text))
    out, picked, breaks, gaps, used = [], [], 0, 0, set()
    for segment in re.split(r"[/,\s]+", CHAIN_BREAK.sub("|", plain)):
        if segment == "|":
            out.append(BREAK)
            breaks += 1
        elif found := LENGTHS.fullmatch(segment):
            low, high = int(found[1]), int(found[2] or found[1])
            if high == 0 or high < low:
                raise TemplateError(f"contig: expected lengths such as 12 or 10-40, got {segment!r}\n  {text}")
            gaps += 1
            picked.append(f"gap{gaps}: {segment} residues")
            out.append(_braces(low, high))
        elif re.fullmatch(r"[A-Z]+", segment):
            picked.append(f"letters: {segment}")
            out.append(segment)
        elif segment:
            run = _run(segment, residues, numbering, text)
            used |= set(run)
            letters = "".join("_" if i in free else _letter(residues[i], segment) for i in run)
            holes = len(re.findall("_+", letters))
            picked.append(
                f"{segment}: {letters}, {_where(residues, run)}" + "".join(f", gap{gaps + k + 1}" for k in range(holes))
            )
            gaps += holes
            out.append(letters)
    if free - used:
        names = ", ".join(" ".join(residues[i].author) for i in sorted(free - used))
        raise TemplateError(f"contig: inpaint_seq names residues that the contig does not take: {names}\n  {text}")
    held = []
    if total:
        low, high = int(total[1]), int(total[2] or total[1])
        held.append(f"length({low + breaks}..{high + breaks})")
    if unindex:
        if gaps != 1:
            raise TemplateError(
                f"contig: expected one gap for unindex to place motifs in, as in 60-80 unindex=[…], got {gaps}\n  {text}"
            )
        motifs, said = _anywhere(unindex[1], residues, numbering, text)
        held.append(f"within(gap1, {motifs})")
        picked += said
    return Resolved("".join(out), " & ".join(held) or None, tuple(picked))


def _anywhere(asked: str, residues: list[Residue], numbering: str, text: str) -> tuple[str, list[str]]:
    """Motifs that stand apart in any order, as a constraint, and a line on each."""
    motifs, said = [], []
    for piece in filter(None, re.split(r"[/,]", asked)):
        if re.fullmatch(r"[A-Z]+", piece):
            motifs.append(piece)
            said.append(f"anywhere: {piece}")
        else:
            run = _run(piece, residues, numbering, text)
            motifs.append("".join(_letter(residues[i], piece) for i in run))
            said.append(f"anywhere: {piece}: {motifs[-1]}, {_where(residues, run)}")
    if not 1 <= len(motifs) <= ANYWHERE:
        raise TemplateError(f"contig: expected one to {ANYWHERE} motifs in unindex, got {len(motifs)}\n  {text}")
    orders = dict.fromkeys(f".*{'.*'.join(order)}.*" for order in permutations(motifs))
    return f'regex("{"|".join(orders)}")', said


def _run(segment: str, residues: list[Residue], numbering: str, text: str) -> list[int]:
    """Places of a range such as A163-181, all of one chain and without a break."""
    found = MOTIF.fullmatch(segment)
    if found is None:
        at = max(0, text.find(segment))
        raise marked(text, at, at + len(segment), f"expected a length (10-40), residues (A163-181) or letters, got {segment!r}")
    if not residues:
        raise TemplateError(
            f"template: {segment} names residues of a structure; name its file (--source FILE) or write the letters\n  {text}"
        )
    chain = found[1] or found[2]
    return _range(residues, chain, found[3], found[4] or found[3], numbering, segment)


def _range(
    residues: list[Residue], chain: str, first: str, last: str, numbering: str, name: str, whole: bool = True
) -> list[int]:
    low, high = (place_of(residues, chain, number, numbering) for number in (first, last))
    if high < low:
        raise TemplateError(f"contig: {name} ends before it begins; the chain has {first} after {last}")
    run = [i for i in range(low, high + 1) if residues[i].author[0] == residues[low].author[0]]
    if whole:
        _check_whole(residues, run, name)
    return run


def _check_whole(residues: list[Residue], run: list[int], name: str) -> None:
    for a, b in zip(run, run[1:], strict=False):
        if not residues[b].joined:
            before, after = residues[a].author[1], residues[b].author[1]
            raise TemplateError(
                f"{name}: chain {residues[a].author[0]} is broken between {before} and {after}, residues are missing; "
                f"take the two sides and design what is between, as in …-{before}/5/{residues[b].author[0]}{after}-…"
            )


def _letter(residue: Residue, segment: str) -> str:
    if residue.letter == UNKNOWN:
        raise TemplateError(
            f"{segment}: residue {' '.join(residue.author)} is {residue.component}, none of the twenty amino acids; "
            "design it: write 1 in its place"
        )
    return residue.letter


def _where(residues: list[Residue], run: list[int]) -> str:
    """author, label and index of the ends of a run."""
    first, last = residues[run[0]], residues[run[-1]]
    label = f"label {first.label[0]} {first.label[1]}–{last.label[1]}, " if first.label and last.label else ""
    also = "".join(f", {name} {a[0]} {a[1]}–{b[1]}" for (name, a), (_, b) in zip(first.also, last.also, strict=True) if a and b)
    return f"author {first.author[0]} {first.author[1]}–{last.author[1]}, {label}index {first.index}–{last.index}{also}"


def _braces(low: int, high: int) -> str:
    return f"{{{low}-{high}}}" if high > low else f"{{{low}}}"


def _selection(text: str, residues: list[Residue], numbering: str) -> Resolved:
    if not residues:
        raise TemplateError(f"template: a selection speaks of a structure; say in which file (--source FILE)\n  {text}")
    gaps: dict[int, tuple[int, str, list[int]]] = {}  # first place → (number of residues, gap's text, places)
    chains: set[str] = set()
    taken: set[int] = set()
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        found = SELECTION.fullmatch(clause)
        if found is None:
            expected = "'mask 24-35 of chain H', 'mask 24-35 of chain H as 8-14', 'mask chain H' or 'keep chain L'"
            raise TemplateError(f"selection: expected {expected}, got {clause!r}")
        chain = found["chain"] or found["kept"]
        there = [i for i, r in enumerate(residues) if (r.number(numbering) or ("",))[0] == chain]
        if not there:
            place_of(residues, chain, "", numbering)
        chains.add(residues[there[0]].author[0])
        ranges = re.split(r"\s*,\s*", found["ranges"]) if found["ranges"] else []
        if found["chain"] and not ranges:
            ranges = ["-".join(number[1] for i in (there[0], there[-1]) if (number := residues[i].number(numbering)))]
        if found["low"] and len(ranges) != 1:
            raise TemplateError(f"selection: 'as' gives one range its length; write a clause for each of {', '.join(ranges)}")
        for piece in ranges:
            ends = re.fullmatch(rf"({END})(?:-({END}))?", piece)
            if ends is None:
                raise TemplateError(f"selection: expected residues such as 24-35 or 100A, got {piece!r} in {clause!r}")
            name = f"{piece} of chain {chain}"
            run = _range(residues, chain, ends[1], ends[2] or ends[1], numbering, name, whole=not found["low"])
            if twice := sorted(set(run) & taken):
                raise TemplateError(f"selection: two masks of chain {chain} overlap at {_where(residues, twice)}")
            taken |= set(run)
            length = _braces(int(found["low"]), int(found["high"] or found["low"])) if found["low"] else "_" * len(run)
            gaps[run[0]] = (len(run), length, run)
    return _lay_out(residues, chains, gaps)


def _lay_out(residues: list[Residue], chains: set[str], gaps: dict) -> Resolved:
    """The chains in the order of the file, pinned but for the gaps."""
    texts, picked, number = [], [], 0
    for chain in dict.fromkeys(r.author[0] for r in residues if r.author[0] in chains):
        places = [i for i, r in enumerate(residues) if r.author[0] == chain]
        out, k, free = "", 0, False
        while k < len(places):
            i = places[k]
            if i in gaps:
                count, gap, run = gaps[i]
                if free and out.endswith("_") and gap.startswith("_"):
                    picked[-1] += f" and {_where(residues, run)}"
                else:
                    number += 1
                    picked.append(f"gap{number}: {gap if gap.startswith('{') else count} for {_where(residues, run)}")
                out, k, free = out + gap, k + count, True
                continue
            if k and not free and not residues[i].joined:
                _check_whole(residues, [places[k - 1], i], f"chain {chain}")
            out, k, free = out + _letter(residues[i], f"chain {chain}"), k + 1, False
        texts.append(out)
    if not number:
        raise ConfigError("selection: nothing is masked, so that there is nothing to design")
    return Resolved(BREAK.join(texts), None, tuple(picked))
