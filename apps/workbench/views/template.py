"""Template: what stays and what is designed, as text, as a picture and as a table; ranges are opened and kept again."""

import re
from dataclasses import replace

import streamlit as st

from apps.workbench import live, pictures, session
from apps.workbench import parts as edits
from apps.workbench.draft import Draft
from apps.workbench.models import CLASSES, card
from apps.workbench.parts import parts_of, text_of
from apps.workbench.session import Services
from apps.workbench.views import positions, structure

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
            _text(draft)
            if draft.domain == "text":
                _fact(services, draft)
        _style(services, draft)
        taken = structure.show(draft) if draft.domain == "protein" else None
    with right:
        _picture(draft)
        if taken is not None:
            structure.view(*taken)
    if not draft.task and draft.parts:
        positions.show(draft)
    st.divider()
    row = st.container(horizontal=True)
    row.button("Next: rules and wishes", key="next", on_click=session.go, args=("wanted",), type="primary")
    row.button("Skip to the run", key="skip", on_click=session.go, args=("run",))


def _kind(draft: Draft) -> None:
    labels = ["A template with gaps", *TASKS.values()]
    at = 0 if draft.task not in TASKS else 1 + list(TASKS).index(draft.task or "")
    chosen = st.selectbox(
        "How do you begin?", labels, at, key=session.key("kind"), help="Fragments carry points, written [*:1]."
    )
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
        key=session.key("drawn"),
        max_chars=1000,
        help="An attachment point is [*:1], [*:2], … where a bond shall lead on.",
    )
    if text != draft.drawn:
        session.put(replace(draft, drawn=text))
        st.rerun()
    st.caption("Press an atom in the picture, or choose it here, to add a point; it needs a hydrogen that can go.")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    real = real_atoms(draft.drawn)
    if real:
        names = [f"{k} · {unit.group()}" for k, unit in enumerate(real, 1)]
        chosen = row.selectbox("Atom", names, key=session.key("atom"), width=160)
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


def _text(draft: Draft) -> None:
    key = session.key("text")
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
    name = row.selectbox("Fact", known.fields, key=session.key("fact"), width=150)
    value = row.text_input("is", "", key=session.key("value"), max_chars=200, width=180, placeholder="riverside")
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
        key=session.key("style"),
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
    at: list[live.Spot] = []
    if draft.domain != "smiles":
        row = (pictures.track if draft.domain == "protein" else pictures.sentence)(draft.parts)
        drawn, at = pictures.cells(*row, pictures.HALF), pictures.spots(row)
        words = "Blue: stays. Yellow, underlined: new, with its length."
        width = round(pictures.boxes(row.tokens, pictures.HALF)[1])
        if not draft.parts:
            return
    elif draft.task:
        drawn, width = pictures.molecule(draft.drawn, {}, at), 520
        words = "Blue: stays. Press an atom to put an attachment point there."
    else:
        drawn, width = pictures.template(draft.parts, at) if draft.parts else None, 520
        words = "Blue: stays. Plain numbers, such as 4-9, stand for so many new tokens."
    if drawn is None:
        if draft.template:
            st.caption("There is no picture: this cannot be read as a SMILES yet. The next page says what is wrong.")
        return
    unit = positions.WHAT[draft.domain]
    if draft.task:
        live.spots(pictures.data_uri(drawn), at, unit, (0, 0), session.key("spots"), width, _point)
    else:
        words += f" Press the first {unit} of a range, then the last."
        live.spots(pictures.data_uri(drawn), at, unit, positions.chosen(), session.key("spots"), width, positions.press)
    st.caption(words)


def _point(number: int) -> None:
    """A callback: the atom of this number was pressed."""
    draft = session.draft()
    real = [] if draft is None else real_atoms(draft.drawn)
    if draft is not None and 0 < number <= len(real):
        _add_point(draft, real[number - 1].end())


def real_atoms(smiles: str) -> list[re.Match]:
    """Atoms as written, without attachment points."""
    return [unit for unit in edits.units(smiles, "smiles") if "*" not in unit.group()]
