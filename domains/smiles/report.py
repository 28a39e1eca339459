"""A report of designed molecules: one HTML file that asks nothing of anywhere, and the same pictures as PNG files.

What was asked and how it came about, counts with what each is a share of, the best molecules with what was pinned tinted, their
properties and their place in chemical space beside what the model learned from, and the lineage of a campaign.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains import page
from domains.files import Written, write_whole
from domains.page import element
from domains.smiles.pictures import grid_png, legend, molecule_svg
from domains.spec import DEFAULT_SAMPLER
from seqdiff.errors import SeqdiffError

if TYPE_CHECKING:
    from domains.smiles.metrics.sample import Sample

MOST = 24  # molecules drawn
STEPS = 8  # molecules of a line of descent
# Colours of RDKit's drawings → variables of the page.
ATOMS = {
    "#000000": "ink",
    "#AFDBF4": "pinned",
    "#9E7F00": "sulphur",
    "#007F26": "green",
    "#007F7F": "teal",
    "#7F3F19": "brown",
    "#FF0000": "red",
    "#0000FF": "blue",
}


def report(path: str | Path, designs: Any, reference: "Sample | None" = None, lineage=None) -> Path:
    """Write the report to an .html file, whole or not at all, and return its path.

    Args:
        designs: a sequence of designs, or the answer that holds them, of which more is told.
        reference: the molecules to compare with; None takes those that stand beside the model of an answer.
        lineage: a networkx DiGraph, parent → child, whose nodes have a `score` and, where they are to be drawn, `smiles` and
            `pinned_atoms`.

    Raises ConfigError for another suffix, a place that cannot be written to, or a lineage with a cycle or without scores.
    """
    return write_whole(path, {".html": lambda given, part: write_report(given, part, reference, lineage)}, designs)


def write_report(designs: Any, path: Path, reference: "Sample | None" = None, lineage=None) -> None:
    """`report` as a writer."""
    made, answer = (designs, None) if isinstance(designs, Sequence) else (designs.designs, designs)
    reference = reference or _of_model(answer)
    title = f"{len(made)} designed molecules"
    content = [element("h1", title), *_request(answer), *_summary(made, answer), *_molecules(made)]
    content += [*_properties(made, reference), *_map(made, reference), *_lineage(lineage), *_all(made)]
    path.write_text(page.page(title, *content), encoding="utf-8")


def report_pictures(folder: str | Path, designs: Any, reference: "Sample | None" = None, lineage=None) -> list[Path]:
    """The pictures of the report as grid.png, properties.png, map.png and lineage.png, as far as there are; their paths."""
    from domains.smiles import charts

    made, answer = (designs, None) if isinstance(designs, Sequence) else (designs.designs, designs)
    reference, best = reference or _of_model(answer), _best(made)
    figures = {"properties": charts.histograms(_values(best), reference)}
    if found := charts.chemical_map([d.sequence for _, d in best], [n for n, _ in best], reference):
        figures["map"] = found[0]
    if lineage is not None:
        figures["lineage"] = charts.lineage_chart(lineage)[0]
    writers = {"grid": lambda part: grid_png(made, part)}
    writers |= {name: lambda part, figure=figure: charts.save_png(figure, part) for name, figure in figures.items()}
    return [
        write_whole(Path(folder) / f"{name}.png", {".png": lambda _, part, draw=draw: draw(part)}, made)
        for name, draw in writers.items()
    ]


def _of_model(answer: Any) -> "Sample | None":
    """The reference beside the model that an answer says it is from; None where that is not the model found."""
    from domains.registry import find_model
    from domains.smiles.metrics.sample import Sample

    if answer is None or not answer.designs:
        return None
    try:
        folder = find_model(answer.spec.model, "smiles")
        told = json.loads((folder / "config.json").read_text()).get("sha256")
    except (SeqdiffError, OSError, ValueError):
        return None
    return Sample.of_model(folder, answer.spec.label) if told == answer.designs[0].certificate.model else None


def _best(designs: Sequence[Written]) -> list[tuple[int, Written]]:
    """(number, design) of each valid molecule once: with all pins kept before others, then by QED, then as made."""
    distinct: dict[str | None, tuple[int, Written]] = {}
    for number, design in enumerate(designs, 1):
        if design.valid:
            distinct.setdefault(design.canonical, (number, design))
    return sorted(distinct.values(), key=lambda item: (not item[1].pins_kept, -float(item[1].metrics.get("qed") or 0)))


def _values(best: list[tuple[int, Written]]) -> dict[str, list[float]]:
    """Figure → its numbers over distinct valid molecules."""
    names = {name for _, design in best for name in design.metrics}
    values = {name: [design.metrics.get(name) for _, design in best] for name in names}
    return {name: [float(v) for v in column if v is not None and math.isfinite(v)] for name, column in values.items()}


def _request(answer: Any) -> Iterator:
    if answer is None:
        return
    spec = answer.spec
    asked = {
        "task": getattr(spec, "task", None),
        "template": spec.template,
        "constraint": spec.constraint,
        "syntax": "well-formed SMILES" if spec.syntax else None,
        "wishes": " & ".join(spec.wishes),
        "class": spec.label,
        "model": spec.model or "the default of the domain",
        "sampler": f"{spec.sampler or DEFAULT_SAMPLER}, {spec.steps} steps, "
        f"{spec.cloud} particle{'s' * (spec.cloud > 1)} a design",
        "seed": str(spec.seed),
    }
    yield page.table(("asked", ""), [(name, element("code", str(value))) for name, value in asked.items() if value])


def _summary(designs: Sequence[Written], answer: Any) -> Iterator:
    valid = [design for design in designs if design.valid]
    distinct = {design.canonical: design for design in valid}
    told = [design.metrics["novel"] for design in distinct.values() if design.metrics.get("novel") is not None]
    rows = []
    if answer is not None:
        counts = answer.summary
        rows.append(("returned", len(designs), counts["asked"], "asked for"))
        for name, what in (("abstained", "no particle met what was asked"), ("lost", "made, but not what was asked for")):
            if counts.get(name):
                rows.append((f"{name}: {what}", counts[name], counts["asked"], "asked for"))
    rows.append(("valid, says RDKit", len(valid), len(designs), "returned"))
    rows.append(("all that is pinned kept", sum(d.pins_kept for d in valid), len(valid), "valid"))
    held = [d.certificate for d in designs if getattr(d.certificate, "holds", ())]
    if held:
        rows.append(("all that must hold found to hold", sum(not c.violations for c in held), len(held), "returned"))  # type: ignore[attr-defined]
    rows.append(("distinct", len(distinct), len(valid), "valid"))
    if told:
        rows.append(("not among the molecules trained on", sum(map(bool, told)), len(told), "distinct"))
    rows += [(f"wish reached: {text}", *counts, "valid") for text, *counts in _wishes(valid, answer)]
    yield element("h2", "Counts")
    yield page.table(("", "count", "of", "", "share"), [(*row, f"{row[1] / row[2]:.1%}" if row[2] else "–") for row in rows])
    yield element("h2", "How they came about")
    for text in dict.fromkeys(str(design.certificate) for design in designs):
        yield element("p", text)
    if held:
        yield element("p", "Held: ", element("code", " & ".join(held[0].holds)), class_="note")  # type: ignore[attr-defined]


def _wishes(valid: list[Written], answer: Any) -> Iterator[tuple[str, int, int]]:
    """(wish, valid designs that are inside of it, valid designs); what cannot be told again, such as a score, is left out."""
    from domains.smiles.wishes import read_wish

    for text in () if answer is None else answer.spec.wishes:
        if text.strip().lower() != "valid":
            try:
                wish = read_wish(text)
                yield text, sum(wish.log_weight(design.sequence) == 0 for design in valid), len(valid)
            except SeqdiffError:  # a scorer that is no longer there
                continue


def _molecules(designs: Sequence[Written]) -> Iterator:
    best = _best(designs)
    yield element("h2", "The best molecules")
    pinned = any(design.pinned_atoms for _, design in best)
    words = f"{min(MOST, len(best))} of {len(best)} distinct valid molecules, by QED."
    yield element("p", words + " Tinted: pinned." * pinned, class_="note")
    cards = [_card(d.sequence, d.pinned_atoms, legend(d), _title(n, d), f"design-{n}") for n, d in best[:MOST]]
    yield element("div", *cards, class_="grid")


def _title(number: int, design: Written) -> str:
    return f"design {number}" + ("" if design.pins_kept else ", pins not kept")


def _card(smiles: str, pinned: Sequence[int], figures: str, title: str, name: str):
    from domains.smiles.charts import with_variables

    svg = with_variables(molecule_svg(smiles, tuple(pinned), title), ATOMS)
    drawing = page.picture(svg, name, f"{title}: {smiles}")
    drawing.insert(0, element("title", smiles))
    return element(
        "figure",
        drawing,
        element("p", figures.replace("    ", " · "), class_="figures"),
        element("p", title),
        class_="card",
    )


def _key(name: str, words: str):
    return [element("span", class_="swatch", style=f"background: var(--{name})"), words]


def _properties(designs: Sequence[Written], reference: "Sample | None") -> Iterator:
    from domains.smiles import charts

    best = _best(designs)
    if not best:
        return
    yield element("h2", "Properties")
    caption = ["Shares of molecules.", *_key("ours", f"{len(best)} distinct designs, median marked")]
    if reference is not None:
        caption += _key("theirs", f"{len(reference):,} molecules of the model's data, held out of training")
    chart = charts.as_svg(charts.histograms(_values(best), reference), "properties")
    label = "Histograms of QED, SA, logP, weight, TPSA and rings"
    yield _chart(page.picture(chart, "properties", label), *caption)


def _chart(drawing, *caption):
    return element("figure", drawing, element("figcaption", *caption), class_="chart")


def _map(designs: Sequence[Written], reference: "Sample | None") -> Iterator:
    from domains.smiles import charts

    best = _best(designs)
    found = charts.chemical_map([d.sequence for _, d in best], [n for n, _ in best], reference)
    if found is None:
        return
    figure, share, shown = found
    yield element("h2", "Chemical space")
    of = "the designs" if reference is None else f"the reference ({shown:,} of {len(reference):,} shown)"
    caption = _key("ours", "designs, the best by number") + (_key("theirs", "reference") if shown else [])
    words = (
        f"Morgan fingerprints (radius 2, 2,048 bits) on the two principal axes of {of}, which hold {share:.1%} of "
        "the variance: groups can be seen, but two points that lie close together need not be alike."
    )
    yield _chart(page.picture(charts.as_svg(figure, "map"), "map", "Map of chemical space"), *caption, element("br"), words)


def _lineage(graph) -> Iterator:
    if graph is None:
        return
    from domains.smiles import charts

    figure, shown, everything = charts.lineage_chart(graph)
    line = charts.line_of_descent(graph)
    yield element("h2", "Lineage")
    words = f"{shown:,} of {everything:,} molecules, each joined to those it was made from."
    caption = [words, *_key("best", "line of descent of the best, always by the better parent")]
    yield _chart(page.picture(charts.as_svg(figure, "lineage"), "lineage", "Score by generation"), *caption)
    drawn = [(node, graph.nodes[node]) for node in line if graph.nodes[node].get("smiles")]
    if len(drawn) > STEPS:  # evenly, with both ends
        drawn = [drawn[round(k * (len(drawn) - 1) / (STEPS - 1))] for k in range(STEPS)]
    cards = [
        _card(
            data["smiles"], data.get("pinned_atoms", ()), f"score {charts.score_of(data):.4g}", f"molecule {node}", f"line-{k}"
        )
        for k, (node, data) in enumerate(drawn)
    ]
    yield element("div", *cards, class_="grid")


def _all(designs: Sequence[Written]) -> Iterator:
    def row(number: int, design: Written):
        figures = (design.metrics.get(name) for name in ("qed", "sa", "logp", "weight"))
        return (
            number,
            element("code", design.sequence),
            design.reason or "valid",
            *("" if v is None else float(v) for v in figures),
        )

    rows = [row(number, design) for number, design in enumerate(designs, 1)]
    yield element(
        "details",
        element("summary", f"All {len(designs)} designs"),
        page.table(("#", "SMILES", "", "QED", "SA", "logP", "weight"), rows),
    )
