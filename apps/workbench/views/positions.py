"""The positions of a template: ranges that are opened and kept again, and a table of its parts."""

from dataclasses import replace

import streamlit as st

from apps.workbench import parts as edits
from apps.workbench import session
from apps.workbench.draft import Draft
from apps.workbench.parts import Part
from apps.workbench.parts import positions as positions_of

WHAT = {"smiles": "atom", "protein": "residue", "text": "word"}
KEEP, DESIGN = "keep", "design"


def show(draft: Draft) -> None:
    st.subheader("Positions", anchor=False)
    what = WHAT[draft.domain]
    there = positions_of(draft.parts, draft.domain)
    left, right = st.columns([5, 6], gap="large")
    with left:
        if there:
            _range(draft, what, len(there))
        else:
            st.caption("Nothing is kept, so there is nothing to open.")
    with right:
        _table(draft)


def chosen() -> tuple[int, int]:
    """The range that is entered."""
    state = st.session_state
    return int(state.get(session.key("first"), 1)), int(state.get(session.key("last"), 3))


def press(position: int) -> None:
    """A callback: the first press begins a range, a second behind it ends it."""
    state = st.session_state
    begins = state.get(session.key("begun"))
    first = begins if begins is not None and begins < position else position
    state[session.key("begun")] = None if first < position else position
    state[session.key("first")], state[session.key("last")] = first, position


def _range(draft: Draft, what: str, most: int) -> None:
    st.caption(f"Open {what}s that are kept, or keep again what was opened.")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    for name, value in zip(("first", "last"), chosen(), strict=True):
        st.session_state.setdefault(session.key(name), min(value, most))
    first = int(row.number_input(f"From {what}", 1, most, key=session.key("first"), width=96))
    last = int(row.number_input(f"to {what}", 1, most, key=session.key("last"), width=96))
    low = int(row.number_input("New length, at least", 1, 500, max(1, last - first + 1), key=session.key("low"), width=140))
    high = int(row.number_input("at most", 1, 500, max(low, last - first + 1), key=session.key("high"), width=96))
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
        key=session.key("parts"),
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
