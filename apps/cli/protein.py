"""`seqdiff design protein`: contigs and selections resolved over their structure, then the request of every domain."""

import sys

from rich.console import Console

from apps.cli.design import run as run_design
from domains.protein.alignments import read_alignment
from domains.protein.constraints import charge_range, like_chains
from domains.protein.contig import is_contig, resolve
from domains.protein.numbering import numbered, side_by_side
from domains.protein.profile import profile_text, pssm
from domains.protein.structure import read_structure
from domains.spec import read_spec
from seqdiff.errors import ConfigError


def run(given: dict) -> None:
    """Answer a request. What a contig took from the structure is said on stderr, and the spec holds the resolved template."""
    source, numbering, copies, charge = (given.pop(name) for name in ("source", "numbering", "copies", "charge"))
    show_numbering, profile = given.pop("show_numbering", False), given.pop("profile", None)
    if show_numbering and source is None:
        raise ConfigError("show-numbering: expected a structure whose residues are to be listed; name its file (--source FILE)")
    residues, numbering = numbered(read_structure(source), numbering) if source else ([], numbering)
    if show_numbering:
        sys.stdout.write(side_by_side(residues))
        return
    asked = {**(read_spec(given["spec"]) if given["spec"] else {}), **{k: v for k, v in given.items() if v is not None}}
    text, held = asked.get("template"), [asked["constraint"]] if asked.get("constraint") else []
    if source is not None and (text is None or not is_contig(text)):
        raise ConfigError(f"source: expected a contig or a selection that says what to take from {source}, got {text!r}")
    if text is not None and is_contig(text):
        resolved = resolve(text, residues, numbering)
        for line in resolved.picked if source else ():
            Console(stderr=True).print(line, style="dim", highlight=False, markup=False)
        text = resolved.template
        if resolved.constraint:  # of like chains it speaks of the first
            held.append(resolved.constraint if copies == 1 else f"within(chain1, {resolved.constraint})")
    if copies != 1:
        text, ties = like_chains(text or "", copies)
        held += [str(ties)] if ties else []
    if charge:
        net = charge_range(charge)
        held.append(str(net if copies == 1 else net.within("chain1")))
    if text is not None:
        given["template"] = text
    if profile is not None:
        given["wishes"] = [*(asked.get("wishes") or ()), profile_text(pssm(read_alignment(profile)))]
    if held:
        given["constraint"] = held[0] if len(held) == 1 else " & ".join(f"({part})" for part in held)
    run_design("protein", given)
