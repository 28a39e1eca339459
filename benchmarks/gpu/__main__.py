"""`python -m benchmarks.gpu train|test|sample|all`: see README.md beside this file."""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu.budget import Budget

STARTED = time.monotonic()
JOBS = {"train": ("train",), "test": ("test",), "sample": ("sample",), "all": ("test", "train", "sample")}
SHARE = {"test": 0.2, "train": 0.85, "sample": 1.0}  # of the budget by whose end each job of `all` stops


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Training and checks on a GPU.")
    parser.add_argument("job", choices=list(JOBS))
    parser.add_argument("--arrays", type=Path, help="folder of prepared data (benchmarks.prepare); for train")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is to be taken away")
    parser.add_argument("--work", type=Path, required=True, help="folder that stays on the machine")
    parser.add_argument("--budget", type=float, default=540, help="stop before so many seconds (540)")
    parser.add_argument("--model", default="smiles-small", help="name of a preset (smiles-small)")
    parser.add_argument("--device", default="cuda", help="cuda (the default), or cpu: float32, not compiled")
    parser.add_argument("--resume", type=Path, help="--out folder of an earlier slice, to go on from on a new machine")
    parser.add_argument("--total-seconds", type=float, default=1350, help="training seconds over all slices (1350)")
    parser.add_argument("--steps", type=int, help="steps over all slices, instead of --total-seconds")
    parser.add_argument("--checkpoint", type=Path, help="folder or zip to sample from, instead of the run's own")
    options = parser.parse_args(arguments)
    if options.arrays is None and "train" in JOBS[options.job]:
        parser.error("train needs --arrays, the folder that benchmarks.prepare wrote")
    return options


def main(arguments: list[str] | None = None, started: float | None = None) -> int:
    """Run the jobs; 0 if all went well, 1 if tests failed, 2 if something was wrong with what was given."""
    options = parse(arguments)
    started = time.monotonic() if started is None else started
    import torch

    from benchmarks.gpu.parts import check_files
    from benchmarks.gpu.training import device_name
    from seqdiff.errors import SeqdiffError

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: --device cuda: expected a CUDA device, found none; use --device cpu", file=sys.stderr)
        return 2
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape, and here every batch has another
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results |= {
        "device": device_name(options.device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    code, jobs = 0, JOBS[options.job]
    for job in jobs:
        share = SHARE[job] if len(jobs) > 1 else 1.0
        begun = time.monotonic()
        try:
            results[job] = RUN[job](options, Budget(started, share * options.budget))
            code = max(code, int(results[job].get("returncode", 0) != 0))
        except SeqdiffError as error:
            print(f"error: {job}: {error}", file=sys.stderr)
            results[job], code = {"error": str(error)}, 2
        results[job]["seconds"] = round(time.monotonic() - begun, 1)
        path.write_text(json.dumps(results, indent=1) + "\n")
    try:
        for name, size in check_files(options.out).items():
            print(f"{options.out / name}  {size / 1e6:.2f} MB")
    except SeqdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    return code


def run_train(options: argparse.Namespace, budget: Budget) -> dict:
    from benchmarks.gpu.training import Slice, train_slice

    slice = Slice(
        options.model,
        options.arrays,
        options.work,
        options.out,
        budget,
        options.device,
        options.resume,
        options.steps,
        options.total_seconds,
    )
    return train_slice(slice, say)


def run_sample(options: argparse.Namespace, budget: Budget) -> dict:
    from benchmarks.gpu.parts import unpack_checkpoint
    from benchmarks.gpu.sampling import benchmark, write_samples
    from seqdiff.checkpoint import load_checkpoint

    folder = options.checkpoint or options.work / options.model / "checkpoint"
    if folder.suffix == ".zip":
        folder = unpack_checkpoint(folder, options.work / "unpacked")
    checkpoint = load_checkpoint(folder, options.device)
    samples = write_samples(checkpoint, options.out / "samples.txt", options.device, budget)
    return {"samples": samples} | benchmark(checkpoint, options.device, budget.without(10), say)


def run_test(options: argparse.Namespace, budget: Budget) -> dict:
    """Only files that hold tests for a GPU are collected: others may need libraries that are not there."""
    marker = "pytest.mark." + "gpu"
    files = [str(p) for p in sorted(Path("tests").rglob("test_*.py")) if marker in p.read_text(encoding="utf-8")]
    command = [sys.executable, "-m", "pytest", "-rs", "-m", "gpu", "-o", "markers=gpu: needs a CUDA device"]
    try:
        limit = max(1.0, budget.left() - 2)
        done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=limit)
        returncode, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        returncode, output = 124, (late.stdout or b"").decode() + f"\nstopped after {limit:.0f} s\n"
    (options.out / "tests.txt").write_text(output)
    say(output)
    summary = output.strip().splitlines()[-1:] or ["no output"]
    return {"returncode": returncode, "files": files, "summary": summary[0]}


def say(line: str) -> None:
    print(line, flush=True)


RUN = {"train": run_train, "sample": run_sample, "test": run_test}

if __name__ == "__main__":
    sys.exit(main(started=STARTED))
