"""`seqdiff serve`: the service until it is told to end."""

import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from apps.api.settings import Settings
from seqdiff.errors import ConfigError

M_ARENA_MAX = -8  # of mallopt(3)
SWITCH = 0.001  # seconds that a thread computes before another may: answers must not wait for loops
GRACE = 10  # seconds that requests have to end once the process is told to


def run(
    host: str = "127.0.0.1",
    port: int = 8000,
    database: str = Settings.database,
    models: Path | None = None,
    offer: list[str] | None = None,
    active: int = Settings.active,
    threads: int | None = None,
    lease: float = Settings.lease,
    sequences: bool = False,
) -> None:
    """Serve. The token comes from the environment (SEQDIFF_TOKEN), where other users of the machine do not see it."""
    token = os.environ.get("SEQDIFF_TOKEN") or None
    settings = Settings(host, port, token, database, models, tuple(offer or ()), active, lease=lease, show_sequences=sequences)
    if threads is not None and threads < 1:
        raise ConfigError(f"serve: threads: expected at least 1, got {threads}")
    import torch
    import uvicorn

    from apps.api.app import create_app
    from apps.api.observe import Lines

    app, listening = create_app(settings), bound(host, port)
    if threads is not None:
        torch.set_num_threads(threads)
    few_arenas()
    sys.setswitchinterval(SWITCH)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    kept_open = 2 * (settings.active + settings.waiting + settings.streams)

    class Server(uvicorn.Server):
        def handle_exit(self, sig, frame) -> None:  # streams would keep the process for as long as their clients like
            app.state.service.stopping.set()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=GRACE, backlog=kept_open
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again after it has ended: an end is no failure
        signal.signal(number, lambda *_: None)
    Server(config).run(sockets=[listening])


def few_arenas() -> None:
    """glibc keeps freed memory apart for each thread, which adds up over those of requests; two such places are enough."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def bound(host: str, port: int) -> socket.socket:
    """A listening address. Raises ConfigError where it cannot be had."""
    listening = None
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, number)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise ConfigError(f"serve: cannot listen on {host} port {port} ({error})") from None
    return listening
