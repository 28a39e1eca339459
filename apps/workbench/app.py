"""The application: a line of pages, one of which is shown. Run with `seqdiff workbench`."""

import importlib

import streamlit as st

from apps.workbench import session


def main() -> None:
    st.set_page_config("seqdiff workbench", _icon(), layout="wide", initial_sidebar_state="collapsed")
    shown = session.page()
    found = session.services()
    _header(shown)
    importlib.import_module(f"apps.workbench.views.{shown}").show(found)
    session.load_in_background(found)


@st.cache_resource(show_spinner=False)
def _icon():
    """A sequence with a hole. Streamlit's own icons would be asked for elsewhere."""
    from PIL import Image

    picture = Image.new("RGB", (32, 32), "#ffffff")
    for left, color in ((1, "#0072B2"), (12, "#E69F00"), (23, "#0072B2")):
        picture.paste(color, (left, 6, left + 8, 26))
    return picture


def _header(shown: str) -> None:
    """The way from start to results; what cannot be opened yet is dimmed."""
    has_draft, has_run = session.draft() is not None, session.run_id() is not None
    open_ = {
        "start": True,
        "template": has_draft,
        "wanted": has_draft,
        "run": has_draft or has_run,
        "results": has_run,
        "runs": True,
    }
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
