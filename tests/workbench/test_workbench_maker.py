"""The processes that make runs: killed in mid-run, closed with their runner, ended with their parent."""

import os
import signal
import subprocess
import sys
import time

import pytest
from test_workbench_runner import TABLE, Bare
from workbench_pages import PATIENCE, ended

from apps.workbench.runner import Runner


def until(good) -> bool:
    over = time.monotonic() + PATIENCE
    while not good() and time.monotonic() < over:
        time.sleep(0.02)
    return good()


def test_a_killed_process_fails_its_run_and_the_next_is_made(tmp_path, makers, monkeypatch):
    bare = Bare(f"sqlite:///{tmp_path / 'runs.db'}", makers=makers)
    watch = Runner._watch

    def killing(self, progress, told):
        watch(self, progress, told)
        if progress.done:
            monkeypatch.setattr(Runner, "_watch", watch)
            running = [maker._process for maker in makers.all if maker._working.locked()]
            assert len(running) == 1
            os.kill(running[0].pid, signal.SIGKILL)
            running[0].wait()

    monkeypatch.setattr(Runner, "_watch", killing)
    run = bare.runner.submit(TABLE)
    row = ended(bare, run)
    assert row["state"] == "failed"
    assert "was ended (SIGKILL)" in row["error"]
    assert "What was finished is kept" in row["error"]
    kept = {made.index: made for made in bare.store.results(run)}
    assert 0 < len(kept) < 8
    again = bare.runner.submit(TABLE)
    assert ended(bare, again)["state"] == "done"
    assert kept.items() <= {made.index: made for made in bare.store.results(again)}.items()
    bare.runner.close()


def test_a_runner_that_is_closed_ends_its_processes_in_mid_run(tmp_path):
    bare = Bare(f"sqlite:///{tmp_path / 'runs.db'}")
    run = bare.runner.submit({**TABLE, "n": 2000})
    assert until(lambda: bare.runner.progress(run).frames)
    process = next(maker._process for maker in bare.runner.makers.all if maker._process is not None)
    bare.runner.close()
    assert process.poll() == -signal.SIGKILL
    assert bare.store.state(run)["state"] == "interrupted"


@pytest.mark.skipif(not os.path.exists("/proc"), reason="processes are looked up in /proc")
def test_a_process_ends_with_its_parent():
    words = "from apps.workbench.maker import Maker; import os; print(Maker().start().pid, flush=True); os.kill(os.getpid(), 9)"
    given = {"capture_output": True, "text": True, "cwd": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", words], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **given)
    pid = int(done.stdout)

    def gone() -> bool:
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"  # nobody waits for it
        except OSError:
            return True

    assert done.returncode == -signal.SIGKILL
    assert until(gone)


def test_the_process_imports_neither_pages_nor_store():
    words = "import sys, apps.workbench.maker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "apps" in loaded
    assert not loaded & {"streamlit", "sqlalchemy", "httpx"}
