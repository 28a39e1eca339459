"""The application: a line of pages, one of which is shown. Run with `seqdiff workbench`."""

import importlib

import streamlit as st

from apps.workbench import session


def main() -> None:
    st.set_page_config("seqdiff workbench", ":material/genetics:", layout="wide", initial_sidebar_state="collapsed")
    shown = session.page()
    found = session.services()
    _header(shown)
    importlib.import_module(f"apps.workbench.views.{shown}").show(found)


def _header(shown: str) -> None:
    """The way from start to results; what cannot be opened yet is dimmed."""
    has_draft, has_run = session.draft() is not None, session.run_id() is not None
    open_ = {"start": True, "template": has_draft, "wanted": has_draft, "run": has_draft or has_run, "results": has_run}
    for column, (name, label) in zip(st.columns(len(session.PAGES)), session.PAGES.items(), strict=True):
        column.button(
            label,
            key=f"to-{name}",
            on_click=session.go,
            args=(name,),
            type="primary" if name == shown else "secondary",
            disabled=not open_[name] and name != shown,
            width="stretch",
        )


main()
