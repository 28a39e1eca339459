"""Start: choose a domain, open an example or a saved request, go back to an earlier run."""

import json
import time
import tomllib

import streamlit as st

from apps.workbench import session
from apps.workbench.draft import UPLOAD_MB, Draft
from apps.workbench.examples import DOMAINS, EXAMPLES
from apps.workbench.session import Services

STATES = {
    "queued": "waiting",
    "running": "running",
    "done": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "stopped early",
}


def show(services: Services) -> None:
    st.header("Design sequences with holes", anchor=False)
    st.markdown("You say what stays and what must hold. The model fills the rest, and every design tells how it came about.")
    if not services.domains:
        session.trouble(
            "There is no model to design with.", "Put a checkpoint folder beside the bundled models, and start again."
        )
        return
    names = [DOMAINS[domain][0] for domain in services.domains]
    chosen = st.segmented_control("What do you want to design?", names, default=names[0], key="domain")
    domain = services.domains[names.index(chosen or names[0])]
    st.caption(DOMAINS[domain][1])
    _examples(domain)
    st.divider()
    left, right = st.columns(2, gap="large")
    with left:
        _own(domain)
    with right:
        _recent(services)


def _examples(domain: str) -> None:
    st.subheader("Open an example", anchor=False)
    for column, (k, example) in zip(st.columns(3), enumerate(EXAMPLES[domain]), strict=True):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{example.name}**")
            st.caption(example.about)
            st.code(example.draft.template, language=None, wrap_lines=True)
            row = st.container(horizontal=True)
            row.button("Open", key=f"open-{k}", on_click=session.opening(example.draft), type="primary")
            row.button("Run now", key=f"now-{k}", on_click=session.opening(example.draft, "run"))


def _own(domain: str) -> None:
    st.subheader("Begin your own", anchor=False)
    st.button("New template", key="new", on_click=session.opening(Draft(domain)), icon=":material/add:")
    given = st.file_uploader(
        "Or open a saved request (.toml or .json)", ["toml", "json"], key="saved", max_upload_size=UPLOAD_MB
    )
    if given is None:
        return
    try:
        text = given.getvalue().decode()
        table = json.loads(text) if given.name.endswith(".json") else tomllib.loads(text)
        table = table.get("spec", table)  # a file of results holds its request
        made = _checked(table)
    except (ValueError, TypeError, AttributeError) as error:
        session.trouble("This file is no saved request.", f"{error}\nExpected a .toml or .json file from the Results page.")
        return
    st.button("Go on from this request", key="go-saved", on_click=session.opening(made), type="primary")


def _checked(table: dict) -> Draft:
    """A draft of a file's table. Raises ValueError (ConfigError is one) or TypeError."""
    from domains.spec import DesignSpec
    from seqdiff.errors import SeqdiffError

    try:
        spec = DesignSpec.from_dict(table)
    except SeqdiffError as error:
        raise ValueError(str(error)) from None
    if spec.domain not in DOMAINS:
        raise ValueError(f"domain: expected one of {', '.join(DOMAINS)}, got {spec.domain!r}")
    return Draft.of({name: value for name, value in spec.to_dict().items() if name in table})


def _recent(services: Services) -> None:
    st.subheader("Your recent runs", anchor=False)
    found = services.store.recent(8)
    if not found:
        st.caption("None yet. Open an example and run it; it is then listed here.")
    else:
        st.button("All runs, and what came of which", key="all-runs", on_click=session.go, args=("runs",))
    for row in found:
        title = row["title"] or row["spec"].get("template") or "free design"
        when = time.strftime("%d %b %H:%M", time.localtime(row["created"]))
        line = st.container(horizontal=True, vertical_alignment="center")
        done = row["state"] not in ("queued", "running")
        line.button(
            session.plain(title[:40]),
            key=f"run-{row['id']}",
            on_click=session.go,
            args=("results" if done else "run", row["id"]),
            type="tertiary",
            icon=":material/history:",
        )
        line.caption(f"{DOMAINS[row['spec']['domain']][0]} · {row['spec']['n']} asked for · {STATES[row['state']]} · {when}")
