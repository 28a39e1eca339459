"""Databases: a new SQLite file, and a PostgreSQL server of its own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from benchmarks import kill


@pytest.fixture(scope="module")
def postgres():
    """URL of a PostgreSQL server of its own."""
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("postgresql is not on this machine (initdb, pg_ctl)")
    folder = Path(tempfile.mkdtemp(prefix="seqdiff-pg-"))
    who = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    if who:
        shutil.chown(folder, **who)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, **who}
    port = kill.free_port()
    subprocess.run(["initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync"], **quiet)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run(["pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start"], **quiet)
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    subprocess.run(["pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path / 'jobs.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
