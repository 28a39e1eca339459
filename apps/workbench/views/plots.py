"""Plots of a run: each figure beside what the model learned from, and any two against each other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from apps.workbench.words import NAMES, SHOWN

OURS, THEIRS = "#56B4E9", "#E69F00"  # Okabe and Ito (2008)
BINS = 20


def show(found: list, row: dict, folders: dict[str, Path]) -> None:
    """Args: found, designs; folders, of the models."""
    domain, spec = row["spec"]["domain"], row["spec"]
    made = [design for design in found if design.valid]
    if len(made) < 2:
        st.info("Figures need two valid designs or more.", icon=":material/lightbulb:")
        return
    known = reference(folders.get(spec["model"]), spec.get("label")) if domain == "smiles" else {}
    words = "Blue: these designs." + (" Orange: molecules held out of the model's training." if known else "")
    st.caption(words)
    names = [name for name in SHOWN[domain] if name != "bound"]
    for columns in filter(None, (names[:3], names[3:])):
        for column, name in zip(st.columns(3), columns, strict=False):
            values = [float(d.metrics[name]) for d in made if d.metrics.get(name) is not None]
            column.markdown(f"**{NAMES[name][0]}**", help=NAMES[name][1])
            column.altair_chart(histogram(values, known.get(name)), width="stretch")
    _scatter(made, domain)


@st.cache_data(show_spinner=False, max_entries=8)
def reference(folder: Path | None, label: str | None) -> dict[str, Any]:
    """Figure → values of the molecules beside a model; {} where it has none."""
    from domains.smiles.metrics.sample import Sample

    sample = Sample.of_model(folder, label) if folder else None
    return {} if sample is None else {name: sample.figures[name] for name in SHOWN["smiles"] if name in sample.figures}


def histogram(values: list[float], known: Any) -> Any:
    """Shares by bin, so that sets of different sizes can be compared."""
    import altair as alt
    import numpy as np
    import pandas as pd

    sets = {"designs": np.asarray(values)} | ({} if known is None else {"training": np.asarray(known, float)})
    edges = edges_of(list(sets.values()))
    whole = bool((edges % 1 == 0.5).all())  # a bin for each number: bars stand apart
    rows = []
    for which, numbers in sets.items():
        counts, gap = np.histogram(numbers, edges)[0], 0.1 * (whole and which == "designs")
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            rows.append({"low": low + gap, "high": high - gap, "share": count / max(1, len(numbers)), "set": which})
    color = alt.Color("set:N", scale=alt.Scale(domain=["designs", "training"], range=[OURS, THEIRS]), legend=None)
    ticks = alt.Axis(tickMinStep=1) if whole else alt.Axis()
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("low:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=ticks),
        x2="high:Q",
        y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%")),
        color=color,
    )
    bars = base.transform_filter("datum.set == 'designs'").mark_rect(opacity=0.75)
    bars = bars.encode(y2=alt.datum(0))
    line = base.transform_filter("datum.set == 'training'").mark_line(interpolate="step-after", strokeWidth=2).encode()
    return alt.layer(bars, line).properties(height=200)


def edges_of(sets: list[Any]) -> Any:
    """Edges of bins that suit all of these arrays: of counted things a bin for each number, five of them or more."""
    import numpy as np

    joint = np.concatenate(sets)
    joint = joint[np.isfinite(joint)]
    if (joint == joint.round()).all() and np.ptp(joint) <= BINS:
        low, high = joint.min(), joint.max()
        below = max(0, 4 - (high - low)) // 2
        low = low - below if low < 0 else max(0, low - below)
        return np.arange(low, max(high, low + 4) + 2) - 0.5
    return np.histogram_bin_edges(joint, BINS)


def ticks_of(values: Any) -> Any:
    """An axis with some ten ticks, of counted things none between whole numbers."""
    import altair as alt

    return alt.Axis(tickCount=10, tickMinStep=1) if bool((values % 1 == 0).all()) else alt.Axis(tickCount=10)


def _scatter(made: list, domain: str) -> None:
    import altair as alt
    import pandas as pd

    st.subheader("Two figures against each other", anchor=False)
    row = st.container(horizontal=True)
    names = list(SHOWN[domain])
    x = str(row.selectbox("Across", names, 0, format_func=lambda name: NAMES[name][0], key="across", width=160))
    y = str(row.selectbox("Up", names, 1, format_func=lambda name: NAMES[name][0], key="up", width=160))
    st.caption("Draw a box over points to list them.")
    table = pd.DataFrame(
        [
            {"#": d.index + 1, "x": d.metrics.get(x), "y": d.metrics.get(y), "sequence": d.sequence}
            for d in made
            if d.metrics.get(x) is not None and d.metrics.get(y) is not None
        ]
    )
    brush = alt.selection_interval(name="box")
    chart = (
        alt.Chart(table)
        .mark_circle(size=90, color=OURS)
        .encode(
            x=alt.X("x:Q", title=NAMES[x][0], scale=alt.Scale(zero=False, padding=12), axis=ticks_of(table["x"])),
            y=alt.Y("y:Q", title=NAMES[y][0], scale=alt.Scale(zero=False, padding=12), axis=ticks_of(table["y"])),
            tooltip=["#", "x", "y"],
            opacity=alt.condition(brush, alt.value(0.9), alt.value(0.3)),
        )
        .add_params(brush)
        .properties(height=340)
    )
    picked: Any = st.altair_chart(chart, width="stretch", on_select="rerun", key="scatter")
    box = picked["selection"].get("box") or {}
    if box:
        inside: Any = table[table["x"].between(*box["x"]) & table["y"].between(*box["y"])]
        st.dataframe(inside.rename(columns={"x": NAMES[x][0], "y": NAMES[y][0]}), hide_index=True)


@st.cache_data(show_spinner=False, max_entries=16)
def logo(run: str, finished: int, _draw: Callable[[], bytes]) -> bytes:
    """The logo of a run's designs, drawn once for as many as are finished."""
    return _draw()
