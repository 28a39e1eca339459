"""`seqdiff workbench`: the design workbench in a browser, on this machine alone unless told otherwise."""

import importlib.util
import os
import sys
from pathlib import Path

from seqdiff.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
OPTIONS = {
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "5",
    "server.enableXsrfProtection": "true",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}


def run(host: str, port: int, database: str | None, models: Path | None, browser: bool, service: str | None = None) -> None:
    """Serve until Ctrl-C. Raises ConfigError for a place beyond this machine, and where Streamlit is not installed.

    With a service it makes the runs; its token is taken from SEQDIFF_TOKEN, where other users of the machine do not see it.
    """
    if host not in LOOPBACK:
        raise ConfigError(
            f"workbench: expected a host of this machine ({', '.join(LOOPBACK)}), got {host!r}; it asks nobody who they are, "
            "so put a proxy with a log-in before it to reach it from elsewhere"
        )
    if importlib.util.find_spec("streamlit") is None:
        raise ConfigError('workbench: needs Streamlit; install it with pip install "seqdiff[workbench]"')
    if models is not None and not models.is_dir():
        raise ConfigError(f"workbench: models: expected a folder of checkpoint folders, got {models}")
    if service is not None and not service.startswith(("http://", "https://")):
        raise ConfigError(f"workbench: service: expected an address such as http://127.0.0.1:8000, got {service!r}")
    environment = dict(os.environ)
    if database is not None:
        environment["SEQDIFF_WORKBENCH_DATABASE"] = database
    if models is not None:
        environment["SEQDIFF_WORKBENCH_MODELS"] = str(models.resolve())
    if service is not None:
        environment["SEQDIFF_WORKBENCH_SERVICE"] = service.rstrip("/")
    words = command(host, port, browser)
    os.execve(words[0], words, environment)  # this process becomes the server: Ctrl-C and signals reach it


def command(host: str, port: int, browser: bool) -> list[str]:
    """The call of Streamlit."""
    app = Path(__file__).parents[1] / "workbench" / "app.py"
    given = {**OPTIONS, "server.address": host, "server.port": str(port), "server.headless": "false" if browser else "true"}
    return [sys.executable, "-m", "streamlit", "run", str(app), *(f"--{name}={value}" for name, value in given.items())]
