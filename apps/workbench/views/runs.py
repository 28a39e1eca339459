"""All runs: which came of which, drawn as a graph; two or more side by side."""

import time
from typing import Any

import streamlit as st

from apps.workbench import lineage, session
from apps.workbench.examples import DOMAINS
from apps.workbench.session import Services
from apps.workbench.views import compare
from apps.workbench.views.start import STATES

MOST = 60  # runs that are drawn
COLORS = {"smiles": "#0072B2", "protein": "#E69F00", "text": "#009E73"}  # Okabe and Ito (2008)
ROW, ACROSS = 46, 3  # pixels of a row of the graph; generations that are always given room


def show(services: Services) -> None:
    runs = services.store.recent(MOST)
    st.header("All runs", anchor=False)
    if not runs:
        session.nothing("There are no runs yet. Open an example and run it.", "Go to Start", "start")
        return
    st.caption("A line leads from a run to those that were begun from it. Click a point to open the run.")
    _graph(services, runs)
    names = names_of(runs)
    st.subheader("Compare runs", anchor=False)
    chosen = st.multiselect(
        "Runs to lay side by side",
        list(names),
        format_func=names.__getitem__,
        max_selections=len(compare.COLORS),
        key="compared",
        placeholder="Choose two or more of one domain",
    )
    if len(chosen) < 2:
        st.info(
            "Choose two runs or more: their requests, figures and shared designs are then shown here.",
            icon=":material/lightbulb:",
        )
        return
    rows = {row["id"]: row for row in runs}
    compare.show(services, [rows[run] for run in chosen], {run: names[run] for run in chosen})


def names_of(runs: list[dict[str, Any]]) -> dict[str, str]:
    """Run → a name that no other has: title and time, and a number where that is not enough."""
    found: dict[str, str] = {}
    for row in reversed(runs):
        title = row["title"] or row["spec"].get("template") or "free design"
        name = f"{' '.join(str(title).split())[:40]} · {time.strftime('%d %b %H:%M', time.localtime(row['created']))}"
        taken = sum(other.startswith(name) for other in found.values())
        found[row["id"]] = f"{name} ({taken + 1})" if taken else name
    return dict(reversed(found.items()))


def _graph(services: Services, runs: list[dict[str, Any]]) -> None:
    import altair as alt
    import pandas as pd

    places, names = lineage.places(runs), names_of(runs)
    points = pd.DataFrame(
        {
            "x": places[row["id"]][0],
            "y": places[row["id"]][1],
            "run": row["id"],
            "name": names[row["id"]],
            "domain": DOMAINS.get(row["spec"]["domain"], (row["spec"]["domain"],))[0],
            "state": STATES[row["state"]],
        }
        for row in runs
    )
    lines = pd.DataFrame(
        [(*places[a], *places[b]) for a, b in lineage.graph(runs).edges], columns=pd.Index(["x", "y", "x2", "y2"])
    )
    deepest, lowest = max(ACROSS, int(max(x for x, _ in places.values())) + 1), max(y for _, y in places.values())
    across = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.05, deepest], nice=False))
    down = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[lowest + 0.4, -0.6], nice=False))
    click = alt.selection_point(name="point", fields=["run"], on="click")
    base = alt.Chart(points).encode(x=across, y=down)
    color = alt.Color(
        "domain:N",
        scale=alt.Scale(domain=[DOMAINS[d][0] for d in COLORS], range=list(COLORS.values())),
        legend=alt.Legend(orient="top", title=None),
    )
    dots = base.mark_circle(size=150, opacity=1, cursor="pointer").encode(color=color, tooltip=["name", "domain", "state"])
    words = base.mark_text(align="left", dx=-6, dy=-17, fontSize=13, limit=380, color="#7b8794").encode(text="name:N")
    edges = alt.Chart(lines).mark_rule(color="#7b8794").encode(x=across, y=down, x2="x2:Q", y2="y2:Q")
    height = max(90, int(ROW * (lowest + 1)) + 40)
    picked: Any = st.altair_chart(
        alt.layer(edges, words, dots.add_params(click)).properties(height=min(height, 900)).configure_view(stroke=None),
        width="stretch",
        on_select="rerun",
        key="lineage",
    )
    at = [point.get("run") for point in picked["selection"].get("point") or []]
    row = next((row for row in runs if row["id"] in at), None)
    if row is not None:
        line = st.container(horizontal=True, vertical_alignment="center")
        line.text(f"{names[row['id']]} · {STATES[row['state']]}", width="stretch")
        done = row["state"] not in ("queued", "running")
        line.button("Open this run", key="open-run", on_click=session.go, args=("results" if done else "run", row["id"]))
