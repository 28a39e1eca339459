"""Results: a table to sort and filter, pictures, plots, what is known of each design, stars, notes, and files."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from apps.workbench import copying, pictures, session
from apps.workbench.draft import Draft
from apps.workbench.parts import Part, as_text, parts_of
from apps.workbench.session import Services
from apps.workbench.views import plots
from apps.workbench.views.start import STATES
from apps.workbench.words import NAMES, SHOWN, certificate

KINDS = {
    ".csv": ("Table", "text/csv"),
    ".fasta": ("FASTA", "text/plain"),
    ".smi": ("SMILES", "text/plain"),
    ".sdf": ("SDF", "chemical/x-mdl-sdfile"),
    ".html": ("Report, one page", "text/html"),
    ".png": ("Picture", "image/png"),
    ".txt": ("Text", "text/plain"),
    ".jsonl": ("JSON, a line each", "application/jsonl"),
}
FILES = {
    "smiles": (".csv", ".sdf", ".smi", ".html", ".png"),
    "protein": (".csv", ".fasta", ".png"),
    "text": (".csv", ".txt", ".jsonl"),
}


def show(services: Services) -> None:
    run = session.run_id()
    row = services.store.state(run) if run else None
    if run is None or row is None:
        session.nothing(
            "There is no run of this address. Start one, or choose one of your recent runs.", "Go to Start", "start"
        )
        return
    found, marks = services.store.results(run), services.store.marks(run)
    st.header(session.plain(row["title"]) or "Results", anchor=False)
    _counts(row, found)
    if not found:
        if row["state"] in ("queued", "running"):
            session.nothing("Nothing is finished yet.", "Watch the run", "run")
        else:
            session.nothing("No design came of this run. Loosen what you asked, and run it again.", "Back to rules", "wanted")
        return
    domain = row["spec"]["domain"]
    table, overview, files, again = st.tabs(["Designs", "Figures", "Files", "Run it elsewhere"])
    with table:
        kept = _filter(found, marks, domain)
        chosen = _table(kept, marks, domain)
        if chosen is not None:
            _one(services, row, chosen, marks)
    with overview:
        plots.show(found, row, services.runner.folders)
    with files:
        _files(row, found, marks)
    with again:
        _elsewhere(row)


def _counts(row: dict, found: list) -> None:
    asked = row["spec"]["n"]
    valid = sum(design.valid for design in found)
    distinct = len({design.canonical for design in found if design.valid})
    parts = [f"{len(found)} of {asked} designs", f"{valid} valid", f"{distinct} different"]
    if row["state"] != "done":
        parts.append(STATES[row["state"]])
    st.markdown(" · ".join(parts))
    for why, count in Counter(row["missing"].values()).most_common(3):
        st.caption(f"{count} not returned: {session.plain(why)}")


def _filter(found: list, marks: dict, domain: str) -> list:
    row = st.container(horizontal=True, vertical_alignment="bottom")
    valid = row.toggle("Valid only", True, key="valid-only")
    starred = row.toggle("Starred only", key="starred-only")
    figures = [name for name in SHOWN[domain] if len({d.metrics.get(name) for d in found} - {None}) > 1]
    name = row.selectbox(
        "Filter by", [None, *figures], format_func=lambda key: "nothing" if key is None else NAMES[key][0], key="by", width=160
    )
    kept = [d for d in found if (d.valid or not valid) and (not starred or marks.get(d.index, (False, ""))[0])]
    if name is not None:
        values = [float(d.metrics[name]) for d in found if d.metrics.get(name) is not None]
        low, high = row.slider("from, to", min(values), max(values), (min(values), max(values)), key=f"range-{name}", width=300)
        kept = [d for d in kept if d.metrics.get(name) is not None and low <= float(d.metrics[name]) <= high]
    return kept


def _table(kept: list, marks: dict, domain: str) -> Any:
    """The table; the design that is looked at, None where nothing is left."""
    import pandas as pd

    if not kept:
        st.info("No design passes this filter. Widen it, or switch it off.", icon=":material/lightbulb:")
        return None
    column = st.column_config
    rows, config = [], {"#": column.NumberColumn("#", width=50, pinned=True)}
    for design in kept:
        star, note = marks.get(design.index, (False, ""))
        line: dict[str, Any] = {"#": design.index + 1, "★": "★" if star else ""}
        if domain == "smiles":
            drawn = pictures.card(design.sequence, design.pinned_atoms) if design.valid else None
            line["picture"] = pictures.data_uri(drawn) if drawn else None
        line["sequence"] = design.sequence
        line |= {name: design.metrics.get(name) for name in SHOWN[domain]}
        rows.append({**line, "note": note})
    for name in SHOWN[domain]:
        label, hint, decimals = NAMES[name]
        config[name] = column.NumberColumn(label, help=hint, format=f"%.{decimals}f", width="small")
    said = column.TextColumn("Text", width="large") if domain == "text" else column.TextColumn("Sequence", width="medium")
    config |= {"★": column.TextColumn("★", width=40), "sequence": said}
    config |= {"picture": column.ImageColumn("Picture", width=130), "note": column.TextColumn("Note")}
    picked = st.dataframe(
        pd.DataFrame(rows),
        key="table",
        column_config=config,
        hide_index=True,
        placeholder="–",
        row_height=84 if domain == "smiles" else None,
        height=420,
        on_select="rerun",
        selection_mode="single-row",
    )
    at = picked["selection"]["rows"]  # type: ignore[index]
    st.caption("Click a column's name to sort, the box at the left of a row to look at it below.")
    places = {design.index: design for design in kept}
    if at and at[0] < len(kept):
        return kept[at[0]]
    number = st.selectbox("Look at design", list(places), format_func=lambda place: f"{place + 1}", key="look", width=160)
    return places.get(number, kept[0])


def _one(services: Services, row: dict, design: Any, marks: dict) -> None:
    run = row["id"]
    star, note = marks.get(design.index, (False, ""))
    with st.container(border=True):
        st.subheader(f"Design {design.index + 1}", anchor=False)
        left, right = st.columns(2, gap="large")
        with left:
            if row["spec"]["domain"] == "protein":
                st.image(pictures.sequence(design.sequence, design.pinned_atoms))
                st.caption("Blue: what you pinned. Yellow, underlined: designed.")
            elif row["spec"]["domain"] == "text":
                drawn = pictures.text(design.sequence, parts_of(row["spec"].get("template") or "{}", "text"))
                if drawn:
                    st.image(drawn)
                    st.caption("Blue: words that you kept. Yellow, underlined: designed.")
                for name, value in design.fields.items():
                    st.text(f"{name}: {value}")
            elif design.valid:
                st.image(pictures.card(design.sequence, design.pinned_atoms), width=420)
                st.caption("Blue: what you pinned. The rest is designed.")
            st.code(design.sequence, language=None, wrap_lines=True)
        with right:
            for good, line in certificate(design, row["spec"]["domain"]):
                st.markdown(f"{':material/check:' if good else ':material/warning:'} {session.plain(line)}")
            with st.expander("Word for word"):
                st.code(str(design.certificate), language=None, wrap_lines=True)
                if design.certificate.holds:
                    st.code(" & ".join(design.certificate.holds), language=None, wrap_lines=True)
            key = f"{run}-{design.index}"
            st.toggle("Star", star, key=f"star-{key}", on_change=_mark, args=(services, run, design.index, key))
            st.text_input(
                "Note", note, key=f"note-{key}", max_chars=500, on_change=_mark, args=(services, run, design.index, key)
            )
            st.button("Use it as a new template", key="reuse", on_click=_reuse, args=(row, design))


def _mark(services: Services, run: str, place: int, key: str) -> None:
    state = st.session_state
    services.store.mark(run, place, bool(state[f"star-{key}"]), str(state[f"note-{key}"]))


def _reuse(row: dict, design: Any) -> None:
    """The design, all of it pinned, as the template of a new request."""
    made = Draft.of({**row["spec"], "template": None, "task": None}, row["title"], row["id"])
    said = as_text(design.sequence) if made.domain == "text" else design.sequence
    session.put(session.with_model(replace(made, parts=(Part(said),))))
    session.go("template")


def _files(row: dict, found: list, marks: dict) -> None:
    """Downloads, each made when it is asked for."""
    domain = row["spec"]["domain"]
    starred = [design for design in found if marks.get(design.index, (False, ""))[0]]
    chosen = found
    if starred and st.toggle(f"The {len(starred)} starred alone", key="starred-files"):
        chosen = starred
    st.caption(f"{len(chosen)} of {len(found)} designs, with their figures and certificates.")
    line = st.container(horizontal=True)
    for suffix in FILES[domain]:
        label, kind = KINDS[suffix]
        line.download_button(
            label,
            lambda suffix=suffix: written(row, chosen, suffix),
            f"designs{suffix}",
            kind,
            key=f"file{suffix}",
            on_click="ignore",
            icon=":material/download:",
        )
    line.download_button(
        "JSON",
        lambda: document(row, chosen),
        "designs.json",
        "application/json",
        key="file.json",
        on_click="ignore",
        icon=":material/download:",
    )
    if domain == "protein":
        st.subheader("Logo", anchor=False)
        st.caption("Tall letters: the designs agree there. The blue bar marks what was pinned.")
        if any(design.valid for design in found):
            st.image(plots.logo(row["id"], len(found), lambda: written(row, found, ".png")), width="stretch")


def answer(row: dict, found: list) -> Any:
    from domains.answer import Designs
    from domains.spec import DesignSpec

    seconds = max(0.0, (row["finished"] or 0) - (row["started"] or 0))
    spec = DesignSpec.from_dict(row["spec"])
    return Designs(found, spec, {"design_seconds": round(seconds, 3)}, row["state"] == "done", [], row["missing"])


def written(row: dict, found: list, suffix: str) -> bytes:
    """The file of a kind, as the command line writes it."""
    from domains.registry import get_domain

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"designs{suffix}"
        get_domain(row["spec"]["domain"]).write(path, answer(row, found) if suffix == ".html" else found)
        return path.read_bytes()


def document(row: dict, found: list) -> str:
    import json

    return json.dumps(answer(row, found).to_dict(), ensure_ascii=False, allow_nan=False, indent=1)


def _elsewhere(row: dict) -> None:
    spec = row["spec"]
    st.caption("The same request, and so the same designs.")
    for label, text, language in (
        ("Command line", copying.command(spec), "bash"),
        ("Python", copying.python(spec), "python"),
        ("A running service (seqdiff serve)", copying.curl(spec), "bash"),
    ):
        st.markdown(f"**{label}**")
        st.code(text, language=language, wrap_lines=True)
    st.download_button("Save the request (.toml)", copying.toml(spec), "request.toml", key="file.toml", on_click="ignore")
