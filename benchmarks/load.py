"""Many clients at once: `python -m benchmarks.load [--clients 50] [--seconds 120] [--ramp 2] [--cores 0] [--out FILE.json]`.

The service runs in a process of its own on loopback (or at --url). First one client asks one request after another, then all
clients, who begin within `--ramp` seconds, do, each the next as soon as it has its answer; every request has its own seed.
Reported of both: answers by status, latencies, throughput and designs a second; of the second: how much more it is, how the
memory grew from the end of the warm-up to the end, and where its seconds went (`Server-Timing`): in the line, waiting for
turns to compute, in passes that are shared (and waiting for them), in its own loop, and on the way over HTTP, which is all
else until the client has the answer. Overhead is the last two: what a request costs beyond the denoiser and the queue. The
processor time of its own loop, and the machine's load before and after, say how much of that is waiting for a processor.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from benchmarks.kill import Server

SPEC = {"domain": "smiles", "template": "CC(=O)N{4-9}c1ccc(F)cc1", "n": 1, "steps": 64, "bound_draws": 0}
ENGINE = ("line", "turns", "denoiser", "rest")  # parts of an answer's seconds that it tells itself
WARM_SHARE = 0.25  # of the time, before memory is first looked at


class Tally:
    """What clients saw."""

    def __init__(self):
        self.rows: list[tuple[int, float, dict[str, float]]] = []
        self.lock = threading.Lock()

    def add(self, status: int, seconds: float, parts: dict[str, float]) -> None:
        with self.lock:
            self.rows.append((status, seconds, parts))

    def figures(self, seconds: float, n: int) -> dict[str, Any]:
        good = [row for row in self.rows if row[0] == 200]
        latency = [1000 * row[1] for row in good]
        http = [1000 * s - sum(parts[name] for name in ENGINE) for _, s, parts in good]
        return {
            "answers": dict(sorted(Counter(str(row[0]) for row in self.rows).items())),
            "requests_per_second": round(len(good) / seconds, 3),
            "designs_per_second": round(n * len(good) / seconds, 3),
            "latency_ms": quantiles(latency),
            "overhead_ms": quantiles([parts["rest"] + way for (_, _, parts), way in zip(good, http, strict=True)]),
            "loop_ms": quantiles([parts["rest"] for _, _, parts in good]),
            "loop_cpu_ms": quantiles([parts["cpu"] for _, _, parts in good]),
            "http_ms": quantiles(http),
            "denoiser_ms": quantiles([parts["denoiser"] for _, _, parts in good]),
            "line_ms": quantiles([parts["line"] for _, _, parts in good]),
            "turns_ms": quantiles([parts["turns"] for _, _, parts in good]),
        }


def quantiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{q}": round(cuts[q - 1], 1) for q in (50, 95, 99)}


def ask(url: str, spec: dict, clients: int, seconds: float, first_seed: int, ramp: float = 0.0) -> Tally:
    """Every client asks until the time is over; they begin one after the other within `ramp` seconds."""
    ready = [httpx.Client(base_url=url, timeout=120.0, trust_env=False) for _ in range(clients)]  # some ms of work each
    tally, until = Tally(), time.perf_counter() + seconds

    def client(number: int) -> None:
        with ready[number] as http:
            seed = first_seed + number
            time.sleep(ramp * number / clients)
            while time.perf_counter() < until:
                started = time.perf_counter()
                answer = http.post("/v1/generate", json={**spec, "seed": seed})
                parts = {}
                if answer.status_code == 200:
                    timing = answer.headers["server-timing"].split(", ")
                    parts = {part.partition(";")[0]: float(part.partition("=")[2]) for part in timing}
                tally.add(answer.status_code, time.perf_counter() - started, parts)
                seed += clients
                if answer.status_code == 429:
                    time.sleep(float(answer.headers["retry-after"]))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def phase(
    url: str, spec: dict, clients: int, seconds: float, first_seed: int, ramp: float, server: Server | None
) -> dict[str, Any]:
    """What clients saw, and the processor time of the service for one answer: used, and waited for while it could have run."""
    before = server.processor if server else (0.0, 0.0)
    started = time.perf_counter()
    tally = ask(url, spec, clients, seconds, first_seed, ramp)
    found = tally.figures(time.perf_counter() - started, spec["n"])
    if server is not None:
        spent = [1000 * (b - a) / max(len(tally.rows), 1) for a, b in zip(before, server.processor, strict=True)]
        found |= {"processor_ms": round(spent[0], 1), "processor_waited_ms": round(spent[1], 1)}
    return found


def run(clients: int, seconds: float, ramp: float, spec: dict, server: Server | None, url: str) -> dict[str, Any]:
    busy = [os.getloadavg()[0]]
    ask(url, spec, 1, 3.0, 10**6)
    alone = phase(url, spec, 1, max(10.0, seconds / 4), 0, 0.0, server)
    memory = {}

    def look() -> None:
        time.sleep(WARM_SHARE * seconds)
        if server is not None:
            memory["warm"] = server.megabytes

    watcher = threading.Thread(target=look)
    watcher.start()
    together = phase(url, spec, clients, seconds, 10**4, ramp, server)
    watcher.join()
    busy.append(os.getloadavg()[0])
    if server is not None:
        memory["end"] = server.megabytes
        memory["growth_percent"] = round(100 * (memory["end"] / memory["warm"] - 1), 2)
    passes = {
        line.split()[0]: float(line.split()[1])
        for line in httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
        if line.startswith("seqdiff_pass")
    }
    return {
        "clients": clients,
        "seconds": seconds,
        "ramp_seconds": ramp,
        "load_average": busy,
        "request": spec,
        "one_at_a_time": alone,
        "together": together,
        "processor_ratio": round(alone.get("processor_ms", 0.0) / together.get("processor_ms", 1.0), 2),
        "throughput_ratio": round(together["requests_per_second"] / max(alone["requests_per_second"], 1e-9), 2),
        "memory_mb": {name: round(value, 2) for name, value in memory.items()},
        "calls_per_pass": round(passes["seqdiff_pass_calls"] / max(passes["seqdiff_passes"], 1.0), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--ramp", type=float, default=2.0, help="seconds within which the clients begin; 0: all at one moment")
    parser.add_argument("--n", type=int, default=1, help="designs of a request")
    parser.add_argument("--template", default=SPEC["template"])
    parser.add_argument("--cores", help="of the service, such as 0")
    parser.add_argument("--threads", type=int, default=1, help="of the service's passes")
    parser.add_argument("--active", type=int, default=32, help="requests at work together")
    parser.add_argument("--url", help="a service that runs already")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    spec = {**SPEC, "n": asked.n, "template": asked.template}
    with tempfile.TemporaryDirectory() as folder:
        server = None
        if asked.url is None:
            options = {"database": f"sqlite:///{folder}/jobs.db", "offer": ["smiles-small"], "active": asked.active}
            server = Server(asked.cores, asked.threads, **options).wait()
        try:
            found = run(asked.clients, asked.seconds, asked.ramp, spec, server, asked.url or server.url)  # type: ignore[union-attr]
        finally:
            if server is not None:
                server.stop()
    print(json.dumps(found, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
