"""Runs side by side: what was asked differently, counts and figures, histograms over each other, and the designs they share."""

import statistics
from typing import Any

import streamlit as st

from apps.workbench import pictures
from apps.workbench.examples import DOMAINS
from apps.workbench.session import Services
from apps.workbench.views.plots import edges_of
from apps.workbench.words import NAMES, SHOWN

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito (2008): one a run
QUIET = ("batch_size", "domain")  # of a request; they change no design, or cannot differ
FIELDS = {
    "n": "How many",
    "constraint": "Rules",
    "wishes": "Wishes",
    "template": "Template",
    "seed": "Seed",
    "particles": "Attempts for each",
    "label": "Style",
    "model": "Model",
    "task": "Task",
    "steps": "Steps",
}
SHARED = 50  # designs that are listed


def show(services: Services, rows: list[dict[str, Any]], names: dict[str, str]) -> None:
    """Args: rows, of the runs; names, run → what it is called."""
    domains = {row["spec"]["domain"] for row in rows}
    if len(domains) > 1:
        kinds = " and ".join(DOMAINS[domain][0].lower() for domain in sorted(domains))
        st.info(f"{kinds.capitalize()} have no figures in common: choose runs of one domain.", icon=":material/lightbulb:")
        return
    domain = domains.pop()
    made = {row["id"]: services.store.results(row["id"]) for row in rows}
    _requests(rows, names)
    _counts(rows, names, made, domain)
    _histograms(names, made, domain)
    _shared(names, made, domain)


def differences(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Field of the request → what each run asks, of the fields in which they differ."""
    fields = sorted({name for row in rows for name in row["spec"]} - set(QUIET))
    asked = {name: [_written(row["spec"].get(name)) for row in rows] for name in fields}
    return {name: values for name, values in asked.items() if len(set(values)) > 1}


def _written(value: Any) -> str:
    if value is None or value == []:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _requests(rows: list[dict[str, Any]], names: dict[str, str]) -> None:
    import pandas as pd

    found = differences(rows)
    st.markdown("**Asked differently**")
    if not found:
        st.caption("Nothing: the requests are the same.")
        return
    table = {
        "": [FIELDS.get(name, name) for name in found],
        **{names[row["id"]]: [values[k] for values in found.values()] for k, row in enumerate(rows)},
    }
    st.dataframe(pd.DataFrame(table), hide_index=True, width="stretch")


def figures(made: list[Any], asked: int, domain: str) -> dict[str, float | None]:
    """Counts of a run, and the median of each figure over its valid designs."""
    valid = [design for design in made if design.valid]
    counts: dict[str, float | None] = {
        "Asked for": asked,
        "Returned": len(made),
        "Valid": len(valid),
        "Different": len({design.canonical for design in valid}),
    }
    for name in SHOWN[domain]:
        values = [float(d.metrics[name]) for d in valid if d.metrics.get(name) is not None]
        counts[f"{NAMES[name][0]}, median"] = round(statistics.median(values), NAMES[name][2]) if values else None
    return counts


def _counts(rows: list[dict[str, Any]], names: dict[str, str], made: dict[str, list], domain: str) -> None:
    import pandas as pd

    st.markdown("**Side by side**")
    told = {names[row["id"]]: figures(made[row["id"]], row["spec"]["n"], domain) for row in rows}
    labels = list(next(iter(told.values())))
    table = {"": labels, **{name: [values[label] for label in labels] for name, values in told.items()}}
    st.dataframe(pd.DataFrame(table), hide_index=True, width="stretch", height="content", placeholder="–")


def _histograms(names: dict[str, str], made: dict[str, list], domain: str) -> None:
    shown = [name for name in SHOWN[domain] if name != "bound" or len(SHOWN[domain]) < 3]
    colors: dict[str, str] = dict(zip(names.values(), COLORS, strict=False))
    st.markdown("**Figures over each other**")
    st.caption("Shares of each run's valid designs.")
    for start in range(0, len(shown), 3):
        for column, name in zip(st.columns(3), shown[start : start + 3], strict=False):
            sets = {
                names[run]: [float(d.metrics[name]) for d in designs if d.valid and d.metrics.get(name) is not None]
                for run, designs in made.items()
            }
            column.markdown(NAMES[name][0], help=NAMES[name][1])
            if any(sets.values()):
                column.altair_chart(overlaid(sets, colors), width="stretch")
            else:
                column.caption("No design has this figure.")


def overlaid(sets: dict[str, list[float]], colors: dict[str, str]) -> Any:
    """Steps of the shares by bin, a colour a run."""
    import altair as alt
    import numpy as np
    import pandas as pd

    edges = edges_of([np.asarray(values, float) for values in sets.values()])
    rows = []
    for which, numbers in sets.items():
        shares = np.histogram(numbers, edges)[0] / max(1, len(numbers))
        rows += [{"at": at, "share": share, "run": which} for at, share in zip(edges, [*shares, 0.0], strict=True)]
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=alt.X("at:Q", title=None, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%")),
            color=alt.Color(
                "run:N",
                scale=alt.Scale(domain=list(colors), range=list(colors.values())),
                legend=alt.Legend(orient="bottom", title=None, direction="vertical", labelLimit=320),
            ),
        )
        .properties(height=220 + 18 * len(sets))
    )


def shared(made: dict[str, list]) -> dict[str, list[str]]:
    """Design (its normal form) → the runs that have it, of those that two or more have; those of most runs first."""
    found: dict[str, list[str]] = {}
    for run, designs in made.items():
        for form in dict.fromkeys(design.canonical for design in designs if design.valid):
            found.setdefault(form, []).append(run)
    return dict(sorted(((form, runs) for form, runs in found.items() if len(runs) > 1), key=lambda item: -len(item[1])))


def _shared(names: dict[str, str], made: dict[str, list], domain: str) -> None:
    import pandas as pd

    found = shared(made)
    st.markdown("**Designs that two or more have**")
    if not found:
        st.caption("None: no design came up in more than one of these runs.")
        return
    st.caption(f"{len(found)}." if len(found) <= SHARED else f"{len(found)}, of which the first {SHARED} are listed.")
    rows = []
    for form, runs in list(found.items())[:SHARED]:
        drawn = {"picture": pictures.data_uri(pictures.card(form, ()))} if domain == "smiles" else {}
        rows.append({**drawn, "sequence": form, "in": " and ".join(names[run] for run in runs)})
    column = st.column_config
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "picture": column.ImageColumn("Picture", width=130),
            "sequence": column.TextColumn("Design", width="large"),
            "in": column.TextColumn("In", width="large"),
        },
        hide_index=True,
        row_height=84 if domain == "smiles" else None,
        width="stretch",
    )
