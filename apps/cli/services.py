"""Commands that stay until they are told to end: their options; `apps.cli.serve` and `apps.cli.workbench` do the work."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine SEQDIFF_TOKEN must be set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    database: Annotated[str, typer.Option(help="Of the jobs: sqlite:///FILE or postgresql://…")] = "sqlite:///seqdiff-jobs.db",
    models: Annotated[Path | None, typer.Option(help="Folder of checkpoint folders, offered by name.")] = None,
    offer: Annotated[
        list[str] | None, typer.Option(help="Name of a model to load; may be repeated.", show_default="all")
    ] = None,
    active: Annotated[int, typer.Option(help="Requests at work together.")] = 32,
    threads: Annotated[int | None, typer.Option(help="Of the passes on a CPU.", show_default="torch's")] = None,
    lease: Annotated[
        float, typer.Option(help="Seconds after which jobs of a server that gives no sign are taken over.")
    ] = 15.0,
    log_sequences: Annotated[bool, typer.Option("--log-sequences", help="Log templates and constraints.")] = False,
):
    """Serve requests over HTTP until told to end."""
    from apps.cli.serve import run

    run(host, port, database, models, offer, active, threads, lease, log_sequences)


def workbench(
    host: Annotated[str, typer.Option(help="Where to listen: this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
    database: Annotated[str | None, typer.Option(help="Of the runs.", show_default="sqlite:///seqdiff-workbench.db")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of checkpoint folders, offered by name.")] = None,
    service: Annotated[
        str | None, typer.Option(help="Address of a running service that makes the runs; its token in SEQDIFF_TOKEN.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
):
    """Design in a browser: template, conditions, runs, results."""
    from apps.cli.workbench import run

    run(host, port, database, models, browser, service)
