"""Run: begin a run and watch it: how far it is, one sequence as it comes into being, results as they come in, cancel."""

from dataclasses import replace

import streamlit as st

from apps.workbench import pictures, session
from apps.workbench.draft import MOST, Draft
from apps.workbench.progress import Progress
from apps.workbench.session import Services
from apps.workbench.views.start import STATES
from apps.workbench.views.wanted import feasibility, until_checked

EVERY = 0.7  # seconds between two looks at a run
LATEST = 6  # results that are shown while it runs


def show(services: Services) -> None:
    run, draft = session.run_id(), session.draft()
    row = services.store.state(run) if run else None
    if row is None and draft is None:
        session.nothing("There is no run of this address, and no template. Begin on the first page.", "Go to Start", "start")
        return
    if row is not None and row["state"] in ("queued", "running"):
        st.header(session.plain(row["title"]) or "Run", anchor=False)
        _live(services, row["id"])
        return
    st.header("Run" if row is not None else "Begin a run", anchor=False)
    if row is not None:
        _ended(row, services.store.latest(row["id"], 0)[0])
    if draft is not None:
        _begin(services, draft)
    elif row is not None:
        st.button("Change this request and run it again", key="again", on_click=_again, args=(row,))


def _again(row: dict) -> None:
    session.put(session.with_model(Draft.of(row["spec"], row["title"], row["id"])))
    session.go("template")


def _begin(services: Services, draft: Draft) -> None:
    if session.run_id() is not None:
        st.subheader("Begin another run", anchor=False)
    row = st.container(horizontal=True, vertical_alignment="bottom")
    title = row.text_input("Name", draft.title, key=f"title-{session.edition()}", max_chars=80, width=280)
    n = int(row.number_input("How many designs", 1, MOST, draft.n, key="n", width=160))
    seed = int(
        row.number_input(
            "Seed", 0, 2**31, draft.seed, key="seed", width=140, help="The same seed gives the same designs again."
        )
    )
    keep = st.toggle("Go on in the background when I close this page", key="background")
    draft = replace(draft, title=title, n=n, seed=seed)
    st.session_state.draft = draft
    unknown = feasibility(services, draft)
    bad = unknown is None and bool(services.runner.check(draft.table()).result().trouble)
    if st.button("Start", key="start-run", type="primary", disabled=bad):  # no callback: it would know older entries
        run = services.runner.submit(draft.table(), draft.title, draft.parent, session.session_id(), keep)
        session.go("run", run)
        st.rerun()
    until_checked(unknown)


def _ended(row: dict, found: int) -> None:
    words = f"{found} of {row['spec']['n']} designs are there."
    if row["state"] == "failed":
        session.trouble("The last run failed. What the engine says:", row["error"] or "")
    elif row["state"] == "done":
        st.success(f"The run has finished. {words}", icon=":material/check_circle:")
    else:
        st.warning(f"The run was {STATES[row['state']]}. {words} {session.plain(row['error'] or '')}", icon=":material/stop:")
    if found:
        st.button("See the results", key="see", on_click=session.go, args=("results",), type="primary")


@st.fragment(run_every=EVERY)
def _live(services: Services, run: str) -> None:
    row = services.store.state(run)
    progress = services.runner.progress(run, session.session_id())
    if row is None or row["state"] not in ("queued", "running"):
        if row is not None and row["state"] == "done":
            session.go("results")
        st.rerun()
        return
    if progress is None:
        st.info("Another process works on this run. This page looks again by itself.", icon=":material/hourglass_top:")
        return
    _numbers(services, run, progress)
    st.button("Cancel", key="cancel", on_click=_cancel, args=(services, run), icon=":material/stop:")
    _denoising(progress)
    _latest(services, run, row["spec"]["domain"])


def _cancel(services: Services, run: str) -> None:
    services.runner.cancel(run)


def _numbers(services: Services, run: str, progress: Progress) -> None:
    if progress.phase == "waiting":
        before = services.runner.waiting(run)
        words = f"Waiting: {before} before this one." if before else "Waiting for a free place."
    elif progress.phase == "reading":
        words = "Reading the request and loading the model …"
    else:
        words = f"{progress.done} of {progress.total} designs"
        if progress.rate:
            words += f" · {pace(progress.rate)} · about {duration(progress.left or 0)} left"
    st.progress(min(1.0, (progress.done + progress.part) / max(1, progress.total)), words)


def pace(rate: float) -> str:
    """Designs a second, or where they are slow a minute."""
    return f"{rate:.1f} a second" if rate >= 0.5 else f"{60 * rate:.1f} a minute"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _denoising(progress: Progress) -> None:
    frames = progress.frames
    if not frames:
        return
    now, before = frames[-1], frames[-2] if len(frames) > 1 else []
    left = sum(token is None for token in now)
    st.subheader(f"Design {progress.place + 1}, as it comes into being", anchor=False)
    st.image(pictures.frame(now, before, progress.free))
    st.caption(f"Blue: stays. Dashed: still open, {left} of {sum(progress.free)}. Yellow: new. Orange: revealed just now.")


def _latest(services: Services, run: str, domain: str) -> None:
    found, latest = services.store.latest(run, LATEST)
    if not found:
        return
    st.subheader(f"{found} finished so far", anchor=False)
    if domain != "smiles":
        for design in latest:
            st.code(design.sequence, language=None, wrap_lines=True)
        return
    for column, design in zip(st.columns(LATEST), latest, strict=False):
        if design.valid:
            column.image(pictures.card(design.sequence, design.pinned_atoms), width="stretch")
        else:
            column.caption("no molecule")
            column.code(design.sequence, language=None, wrap_lines=True)
