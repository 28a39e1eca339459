"""Servers that are killed in the middle of jobs: `python -m benchmarks.kill [--trials 100] [--database URL] [--out FILE.json]`.

In each trial a client submits jobs to a service in a process of its own, which is killed with SIGKILL at a random moment;
the next server on the same database goes on. Counted: jobs that were accepted and have no result, jobs that have
another result than `seqdiff.design` gives for their spec, keys that made more than one job, and the seconds from the start of
the next server to the end of the jobs that the last one left. With --forked a server is forked from a process that has imported
everything, so that a trial does not pay for that.
"""

import argparse
import json
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from apps.client import Client
from domains.design import DesignSpec, design
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1]
MODEL = "protein-random"
JOBS = 3  # of a trial
LEASE = 1.0  # seconds after which a server that gives no sign has lost its jobs
SPEC = {
    "domain": "protein",
    "model": MODEL,
    "template": "MK{60}",
    "n": 12,
    "sampler": "ancestral",
    "steps": 80,
    "batch_size": 4,
    "bound_draws": 0,
}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Server:
    """The service in a process of its own; `options` are those of `apps.cli.serve.run`."""

    def __init__(self, cores: str | None = None, threads: int = 1, **options: Any):
        port = free_port()
        options |= {"port": port, "threads": threads}
        self.url, self.started = f"http://127.0.0.1:{port}", time.perf_counter()
        pinned = ["taskset", "-c", cores] if cores else []
        code = f"from pathlib import Path, PosixPath; from apps.cli.serve import run; run(**{options!r})"
        self.process = subprocess.Popen(
            [*pinned, sys.executable, "-c", code],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    def wait(self, seconds: float = 600.0) -> "Server":
        """Until it is ready. Raises TimeoutError."""
        while time.perf_counter() - self.started < seconds and self.status is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"the service did not start within {seconds:g} s, or ended ({self.status})")

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int | None:
        """Its exit status after it has been asked to end."""
        self.process.terminate()
        return self.process.wait(60)

    @property
    def megabytes(self) -> float:
        """Memory of the process, without its children."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    @property
    def processor(self) -> tuple[float, float]:
        """Seconds that its threads ran, and that they could have run and waited for a processor."""
        told = [path.read_text().split() for path in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")]
        return sum(int(row[0]) for row in told) / 1e9, sum(int(row[1]) for row in told) / 1e9


class Forked(Server):
    """The same, forked from a process that has imported everything."""

    def __init__(self, **options: Any):
        port = free_port()
        self.url, self.started = f"http://127.0.0.1:{port}", time.perf_counter()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["apps.api.app", "apps.cli.serve", "uvicorn", "domains.protein.domain", "sqlalchemy"])
        self.child = context.Process(target=serve, args=(options | {"port": port, "threads": 1},))
        self.child.start()

    @property
    def status(self) -> int | None:
        return self.child.exitcode

    def kill(self) -> None:
        self.child.kill()
        self.child.join()

    def stop(self) -> int | None:
        self.child.terminate()
        self.child.join(60)
        return self.child.exitcode


def serve(options: dict[str, Any]) -> None:
    from apps.cli.serve import run

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    run(**options)


def run(trials: int, database: str, n: int = 12, seed: int = 1, server_of: Any = Server, **where: Any) -> dict[str, Any]:
    """What was accepted, and what came of it; n designs a job, and `seed` of the moments."""
    chance, accepted, recovery, interrupted = random.Random(seed), {}, [], 0
    options = {"database": database, "lease": LEASE, "offer": [MODEL], **where}
    server = server_of(**options).wait()
    try:
        for trial in range(trials):
            with Client(server.url, retries=0) as client:
                mine = []
                for k in range(JOBS):
                    key, spec = f"{trial}-{k}", {**SPEC, "n": n, "seed": 1000 * trial + k}
                    mine.append(client.submit(key=key, **spec).id)
                    accepted[key] = (mine[-1], spec)
                time.sleep(chance.uniform(0.0, 1.0))
                interrupted += sum(client.job(id).state == "running" for id in mine)
            server.kill()
            server = server_of(**options).wait()
            with Client(server.url) as client:
                for id in mine:
                    client.wait(id, 600.0, 0.2)
            recovery.append(time.perf_counter() - server.started)
            print(
                f"trial {trial + 1}: {interrupted} interrupted so far, over in {recovery[-1]:.1f} s",
                file=sys.stderr,
                flush=True,
            )
        found = checked(server.url, accepted)
        status = server.stop()
    finally:
        server.kill()
    return {
        "trials": trials,
        "accepted": len(accepted),
        "interrupted": interrupted,
        **found,
        "designs_of_a_job": n,
        "recovery_seconds_median": round(statistics.median(recovery), 2),
        "recovery_seconds_most": round(max(recovery), 2),
        "exit_status": status,
    }


def checked(url: str, accepted: dict[str, tuple[str, dict]]) -> dict[str, int]:
    """Jobs without a result, with another one than theirs, and keys that made a second job."""
    model = load_checkpoint(find_model(MODEL, "protein"))
    lost = wrong = doubled = 0
    with Client(url) as client:
        for key, (id, spec) in accepted.items():
            job = client.job(id)
            if job.state != "done" or job.result is None:
                lost += 1
                continue
            wanted = [item.sequence for item in design(DesignSpec.from_dict(spec), checkpoint=model).designs]
            wrong += [item["sequence"] for item in job.result["designs"]] != wanted
            doubled += client.submit(key=key, **spec).id != id
    return {"lost": lost, "wrong": wrong, "doubled": doubled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--database", help="SQLAlchemy URL; a new SQLite file by default")
    parser.add_argument("--n", type=int, default=SPEC["n"], help="designs of a job")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--cores", help="of the servers, such as 0,1")
    parser.add_argument("--forked", action="store_true", help="servers forked from one that has imported everything")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = asked.database or f"sqlite:///{folder}/jobs.db"
        how = {"server_of": Forked} if asked.forked else {"cores": asked.cores}
        found = {"database": database.partition(":")[0], **run(asked.trials, database, n=asked.n, seed=asked.seed, **how)}
    print(json.dumps(found, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
