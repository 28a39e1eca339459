"""`seqdiff design smiles`: what is drawn in a file read into the request, then the request of every domain."""

import re

from apps.cli.design import run as run_design
from domains.smiles.tasks_design import read_drawn
from seqdiff.errors import ConfigError


def run(given: dict) -> None:
    """Answer a request. The spec holds the text of the file, so that it can be run again without it."""
    source, lengths = given.pop("source"), given.pop("lengths")
    if source is not None:
        if given["template"] is not None:
            raise ConfigError(f"source: expected what is drawn in {source} or as an argument, got both")
        given["template"] = read_drawn(source)
    if lengths is not None:
        found = re.fullmatch(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?", lengths)
        if found is None:
            raise ConfigError(f"lengths: expected a number or a range such as 4-9, got {lengths!r}")
        given["lengths"] = (int(found[1]), int(found[2] or found[1]))
    run_design("smiles", given)
