"""What the pages share: the services of the process, the draft of a session, where it is, and how trouble is shown.

What a person typed is shown by `st.code` or `st.text` alone, or escaped: it can be neither HTML nor a link nor a picture.
"""

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from apps.workbench.draft import Draft
from apps.workbench.examples import EXAMPLES, default_model, offered
from apps.workbench.remote import Failed, Remote
from apps.workbench.runner import Runner
from apps.workbench.store import Store

PAGES = {
    "start": "1 · Start",
    "template": "2 · Template",
    "wanted": "3 · Rules and wishes",
    "run": "4 · Run",
    "results": "5 · Results",
    "runs": "All runs",
}
DATABASE, MODELS, SERVICE = "SEQDIFF_WORKBENCH_DATABASE", "SEQDIFF_WORKBENCH_MODELS", "SEQDIFF_WORKBENCH_SERVICE"
LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)  # where what looks like an address is broken
SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$&@/\"'=^])")


@dataclass(frozen=True)
class Services:
    """One a process: runs and models."""

    store: Store
    runner: Runner

    @property
    def domains(self) -> list[str]:
        return offered(list(self.runner.folders))


def services() -> Services:
    asked = os.environ.get
    return _services(asked(DATABASE, "sqlite:///seqdiff-workbench.db"), asked(MODELS, ""), asked(SERVICE, ""))


@st.cache_resource(show_spinner=False)
def _services(url: str, models: str, service: str) -> Services:
    """What the pages work with.

    Args:
        url: of the store. models: a folder whose subfolders are checkpoints, offered before bundled ones of one name.
        service: URL of the service that makes the runs, with the token in SEQDIFF_TOKEN; "" makes them here.
    """
    from domains.registry import bundled_models

    folders = bundled_models()
    if models:
        folders |= {path.parent.name: path.parent for path in sorted(Path(models).glob("*/config.json"))}
    remote = Remote.at(service, os.environ.get("SEQDIFF_TOKEN")) if service else None
    if remote is not None:
        with contextlib.suppress(Failed):  # the first run says it
            folders = {name: folders[name] for name in remote.models() if name in folders}
    store = Store(url)
    return Services(store, Runner(store, folders, alive=alive, remote=remote))


def load_in_background(found: Services) -> None:
    """Once the first page is drawn: models, and what other pages import when they are first shown."""
    examples = [with_model(EXAMPLES[domain][0].draft) for domain in found.domains]
    modules = ("pandas", "altair", *(f"apps.workbench.views.{page}" for page in PAGES))
    found.runner.warm([draft.table() for draft in examples], modules)


def session_id() -> str:
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    found = get_script_run_ctx()
    return found.session_id if found else ""


def alive(session: str) -> bool:
    """Whether a session's page is open; without a server, as in tests of pages, it is."""
    from streamlit import runtime

    return not runtime.exists() or runtime.get_instance().is_active_session(session)


# ── where a session is ──


def draft() -> Draft | None:
    return st.session_state.get("draft")


def put(draft: Draft | None) -> None:
    """The draft from now on. Forms that show the old one begin anew."""
    st.session_state.draft = draft
    st.session_state.edition = st.session_state.get("edition", 0) + 1


def edition() -> int:
    """A number for keys of forms that show the draft."""
    return st.session_state.get("edition", 0)


def key(name: str) -> str:
    """A widget's key that shows this draft."""
    return f"{name}-{edition()}"


def page() -> str:
    wanted = st.query_params.get("page", "start")
    return wanted if wanted in PAGES else "start"


def go(page: str, run: str | None = None) -> None:
    """Show another page, and a run if one is named; the address says so, and can be opened again."""
    st.query_params["page"] = page
    if run is not None:
        st.query_params["run"] = run


def run_id() -> str | None:
    wanted = st.query_params.get("run", "")
    return wanted if re.fullmatch(r"[0-9a-f]{32}", wanted) else None


def opening(made: Draft, page: str = "template") -> Callable[[], None]:
    """A callback that goes on from a draft."""

    def begin() -> None:
        put(with_model(made))
        go(page)

    return begin


def with_model(made: Draft) -> Draft:
    from dataclasses import replace

    names = list(services().runner.folders)
    return made if made.model in names else replace(made, model=default_model(made.domain, names))


# ── what is shown ──


def plain(text: str) -> str:
    """Text for places that read Markdown, so that it is shown as it is.

    An address gets a word joiner, which is not seen: it would be made a link even so.
    """
    return SPECIAL.sub(r"\\\1", LINK.sub("\u2060", " ".join(text.split())))


def trouble(title: str, text: str) -> None:
    """What is wrong, in words of the workbench, and what the engine says, letter by letter."""
    st.error(title, icon=":material/error:")
    st.code(text, language=None, wrap_lines=True)


def nothing(text: str, label: str, page: str) -> None:
    """An empty page: what to do."""
    st.info(text, icon=":material/lightbulb:")
    st.button(label, on_click=go, args=(page,), type="primary")
