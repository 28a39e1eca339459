"""Template: what stays and what is designed, as text, as a picture and as a table; ranges are opened and kept again."""

import tempfile
from dataclasses import replace
from pathlib import Path

import streamlit as st

from apps.workbench import parts as edits
from apps.workbench import pictures, session
from apps.workbench.draft import UPLOAD_MB, Draft
from apps.workbench.models import CLASSES, card
from apps.workbench.parts import Part, parts_of, positions, text_of
from apps.workbench.session import Services

LONGEST = 20_000  # characters of a template
TASKS = {
    "linker": "Join fragments",
    "decoration": "Grow at every point",
    "extension": "Grow at one point",
    "macrocycle": "Close a ring",
    "superstructure": "Grow anywhere",
}
HELP = {
    "smiles": "A SMILES. Write {4-9} where 4 to 9 new tokens (atoms, bonds, branches, ring labels) are to be designed.",
    "protein": "Letters stay. Write {12} or {10-40} for so many new residues, _ for one, / between two chains.",
    "text": "Words stay. Write {3} or {2-6} for so many new words or signs, {8-14 words} for words alone, {} for any number, "
    "{ADJ NOUN} for kinds of words. Facts stand before the text: [food] Japanese [text] {8-16}",
}
WHAT = {"smiles": "atom", "protein": "residue", "text": "word"}
KEEP, DESIGN = "keep", "design"


def show(services: Services) -> None:
    draft = session.draft()
    if draft is None:
        session.nothing("There is no template yet. Choose an example or begin your own.", "Go to Start", "start")
        return
    st.header("What stays, what is new?", anchor=False)
    left, right = st.columns([5, 6], gap="large")
    with left:
        if draft.domain == "smiles":
            _kind(draft)
        if draft.task:
            _fragments(draft)
        else:
            if draft.domain == "protein":
                _file(draft)
            _text(draft)
            if draft.domain == "text":
                _fact(services, draft)
        _style(services, draft)
    with right:
        _picture(draft)
    if not draft.task and draft.parts:
        _ranges(draft)
    st.divider()
    row = st.container(horizontal=True)
    row.button("Next: rules and wishes", key="next", on_click=session.go, args=("wanted",), type="primary")
    row.button("Skip to the run", key="skip", on_click=session.go, args=("run",))


def _key(name: str) -> str:
    return f"{name}-{session.edition()}"


def _kind(draft: Draft) -> None:
    labels = ["A template with gaps", *TASKS.values()]
    at = 0 if draft.task not in TASKS else 1 + list(TASKS).index(draft.task or "")
    chosen = st.selectbox("How do you begin?", labels, at, key=_key("kind"), help="Fragments carry points, written [*:1].")
    if labels.index(chosen) != at:
        task = None if chosen == labels[0] else list(TASKS)[labels.index(chosen) - 1]
        drawn = draft.drawn or {"linker": "[*:1]N1CCCC1.[*:2]c1ccccc1", "superstructure": "c1ccc2[nH]ccc2c1"}.get(
            task or "", "[*:1]c1ccc2c(c1)OCCO2" if task == "extension" else "[*:1]c1ccc([*:2])cc1"
        )
        session.put(replace(draft, task=task, drawn=drawn if task else "", rules=() if task else draft.rules))
        st.rerun()


def _fragments(draft: Draft) -> None:
    text = st.text_area(
        "Fragments, as SMILES with a dot between two of them",
        draft.drawn,
        key=_key("drawn"),
        max_chars=1000,
        help="An attachment point is [*:1], [*:2], … where a bond shall lead on.",
    )
    if text != draft.drawn:
        session.put(replace(draft, drawn=text))
        st.rerun()
    st.caption("The picture shows the numbers of the atoms. Add a point at an atom that still has a hydrogen:")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    atoms = list(edits.units(draft.drawn, "smiles"))
    real = [unit for unit in atoms if "*" not in unit.group()]
    if real:
        names = [f"{k} · {unit.group()}" for k, unit in enumerate(real, 1)]
        chosen = row.selectbox("Atom", names, key=_key("atom"), width=160)
        if row.button("Add a point", key="add-point"):
            _add_point(draft, real[names.index(chosen)].end())
            st.rerun()


def _add_point(draft: Draft, end: int) -> None:
    """An attachment point as a branch of the atom that is written before `end`, behind its ring labels."""
    text, label = draft.drawn, 1
    while end < len(text) and (text[end].isdigit() or text[end] == "%"):
        end += 3 if text[end] == "%" else 1
    while f"[*:{label}]" in text:
        label += 1
    session.put(replace(draft, drawn=f"{text[:end]}([*:{label}]){text[end:]}"))


def _file(draft: Draft) -> None:
    given = st.file_uploader(
        "Take a chain or a motif from a file (.pdb, .cif, .fasta)",
        ["pdb", "ent", "cif", "mmcif", "fasta", "fa"],
        key="structure",
        max_upload_size=UPLOAD_MB,
    )
    if given is None:
        return
    from domains.protein.contig import resolve
    from domains.protein.structure import read_structure
    from seqdiff.errors import SeqdiffError

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"given{Path(given.name).suffix.lower()}"
        path.write_bytes(given.getvalue())
        try:
            residues = read_structure(path)
        except SeqdiffError as error:
            session.trouble("This file could not be read.", str(error).replace(path.name, "the file"))
            return
    chains = list(dict.fromkeys(residue.author[0] for residue in residues))
    counts = {c: sum(r.author[0] == c for r in residues) for c in chains}
    chain = st.selectbox("Chain", chains, format_func=lambda c: f"{c} · {counts[c]} residues", key="chain")
    there = [r for r in residues if r.author[0] == chain]
    motif = st.text_input(
        "A part of it, by its numbers in the file",
        f"{there[0].author[1]}-{there[-1].author[1]}",
        key=f"motif-{chain}",
        help="For example 24-35. Residues that are missing in the file split a range.",
    )
    margin = st.slider("New residues on either side", 0, 60, (0, 0), key="margin", help="0 to 0 adds none.")
    side = f"{margin[0]}-{margin[1]}" if margin[1] else ""
    contig = "/".join(filter(None, (side, f"{chain}{motif.strip()}", side)))
    try:
        made = resolve(contig, residues)
    except SeqdiffError as error:
        session.trouble("This range cannot be taken.", str(error))
        return
    if st.button("Use it as the template", key="use-file", type="primary"):
        session.put(replace(draft, parts=parts_of(made.template)))
        st.rerun()


def _text(draft: Draft) -> None:
    key = _key("text")
    st.text_area(
        "Template",
        text_of(draft.parts),
        key=key,
        max_chars=LONGEST,
        height=120,
        help=HELP[draft.domain],
        on_change=_typed,
        args=(key,),
    )
    if not draft.parts:
        st.info("Empty: everything is designed freely. Type or paste a sequence to pin it.", icon=":material/lightbulb:")


def _typed(key: str) -> None:
    """A callback, so that what was typed is not lost when the next click leads to another page."""
    draft, text = session.draft(), str(st.session_state[key])
    if draft is not None:
        text = _letters(text) if draft.domain == "protein" else text.strip()
        session.put(replace(draft, parts=parts_of(text, draft.domain)))


def _fact(services: Services, draft: Draft) -> None:
    """What the text is to tell, written before it as the model knows it."""
    known = card(services.runner.folders[draft.model]) if draft.model in services.runner.folders else None
    if known is None or not known.fields:
        return
    st.caption("Say what the text is to tell. A hole such as {1-3} in place of a value: it is read from the text.")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    name = row.selectbox("Fact", known.fields, key=_key("fact"), width=150)
    value = row.text_input("is", "", key=_key("value"), max_chars=200, width=180, placeholder="riverside")
    if row.button("Tell it", key="tell", disabled=not value.strip()):
        made = edits.with_fact(text_of(draft.parts), name, value.strip())
        session.put(replace(draft, parts=parts_of(made, "text")))
        st.rerun()


def _style(services: Services, draft: Draft) -> None:
    """The class of the model, where it has some."""
    known = card(services.runner.folders[draft.model]) if draft.model in services.runner.folders else None
    if known is None or len(known.classes) < 2:
        return
    names = ["", *known.classes]
    chosen = st.selectbox(
        "In the style of",
        names,
        names.index(draft.label) if draft.label in known.classes else 0,
        format_func=lambda name: CLASSES.get(name, name) or "anything it has learned",
        key=_key("style"),
    )
    if chosen != (draft.label or ""):
        session.put(replace(draft, label=chosen or None))
        st.rerun()


def _letters(text: str) -> str:
    """A pasted FASTA record without its header; several records are chains."""
    if not text.lstrip().startswith(">"):
        return text.strip()
    records = ["".join(part.split("\n")[1:]).strip() for part in ("\n" + text.strip()).split("\n>")[1:]]
    return "/".join(filter(None, ("".join(record.split()) for record in records)))


def _picture(draft: Draft) -> None:
    if draft.domain != "smiles":
        if draft.parts:
            st.image((pictures.track if draft.domain == "protein" else pictures.sentence)(draft.parts))
            st.caption("Blue: stays. Yellow, underlined: new, with its length.")
        return
    if draft.task:
        drawn = pictures.molecule(draft.drawn, {})
        words = "Blue: stays. Numbers are those of the atoms as written."
    else:
        drawn = pictures.template(draft.parts) if draft.parts else None
        words = "Blue: stays. “new” marks a gap with the number of its tokens."
    if drawn:
        st.image(drawn, width=520)
        st.caption(words)
    elif draft.template:
        st.caption("There is no picture: this cannot be read as a SMILES yet. The next page says what is wrong.")


def _ranges(draft: Draft) -> None:
    st.subheader("Positions", anchor=False)
    what = WHAT[draft.domain]
    there = positions(draft.parts, draft.domain)
    left, right = st.columns([5, 6], gap="large")
    with left:
        if there:
            _range(draft, what, len(there))
        else:
            st.caption("Nothing is kept, so there is nothing to open.")
    with right:
        _table(draft)


def _range(draft: Draft, what: str, most: int) -> None:
    st.caption(f"Open {what}s that are kept, or keep again what was opened.")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    first = int(row.number_input(f"From {what}", 1, most, 1, key=_key("first"), width=96))
    last = int(row.number_input(f"to {what}", 1, most, min(most, 3), key=_key("last"), width=96))
    low = int(row.number_input("New length, at least", 1, 500, max(1, last - first + 1), key=_key("low"), width=140))
    high = int(row.number_input("at most", 1, 500, max(low, last - first + 1), key=_key("high"), width=96))
    row = st.container(horizontal=True)
    bad = last < first or high < low
    if row.button("Design this range", key="open", disabled=bad):  # no callback: it would know older entries
        session.put(replace(draft, parts=edits.opened(draft.parts, first, last, low, high, draft.domain)))
        st.rerun()
    if row.button("Keep it as it was", key="keep", disabled=last < first):
        session.put(replace(draft, parts=edits.kept(draft.parts, first, last, draft.domain)))
        st.rerun()
    if bad:
        st.caption("The first number of a range is not to be larger than the second.")


def _table(draft: Draft) -> None:
    rows = [
        {
            "part": DESIGN if part.designed else KEEP,
            "sequence": part.text or part.form,
            "at least": part.low or None,
            "at most": part.high or None,
        }
        for part in draft.parts
    ]
    column = st.column_config
    units = {"smiles": "tokens", "protein": "residues", "text": "words and signs"}[draft.domain]
    changed = st.data_editor(
        rows,
        key=_key("parts"),
        hide_index=True,
        placeholder="–",
        column_config={
            "part": column.SelectboxColumn("part", options=[KEEP, DESIGN], required=True, width="small"),
            "sequence": column.TextColumn("sequence", help="What stays; of a gap what stood there before.", disabled=True),
            "at least": column.NumberColumn("at least", min_value=1, max_value=500, help=f"Shortest new piece, in {units}."),
            "at most": column.NumberColumn("at most", min_value=1, max_value=500, help=f"Longest new piece, in {units}."),
        },
        width="stretch",
    )
    made = tuple(map(_part, changed, draft.parts))
    if made != draft.parts:
        session.put(replace(draft, parts=made))
        st.rerun()


def _part(row: dict, before: Part) -> Part:
    """A row of the table as a part; a gap where nothing stood stays one."""
    if row["part"] == KEEP and before.text:
        return Part(before.text)
    if before.form and not row["at least"] and not row["at most"]:
        return before
    size = max(1, len(before.text))
    low = int(row["at least"] or before.low or size)
    high = int(row["at most"] or before.high or size)
    return Part(before.text, low, max(low, high))
