"""Processes that make runs, so that the server of the pages never waits for a computation: each makes one run at a time.

    parent → child   {"table": …, "folder": …} begins a run; then true or false, for each question: go on, or end here
    child → parent   ["begun", {}], before each pass the question ["pass", {…}], ["made", {…}] for each finished batch,
                     and at last ["ended", {"trouble": …}]

A line of JSON each. The child ends when its parent does: the pipe is closed then. Streamlit is not imported in it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import LifoQueue, SimpleQueue
from typing import Any

NICE = 5  # pages go before runs where there are fewer processors than both could use
_BOOT = "import sys; sys.path[:] = {path!r}; from apps.workbench.maker import serve; serve()"


class Failed(Exception):
    """The run was not made; why, in words for a person."""


class Maker:
    """A child, started when it is first needed, and again after it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._starting, self._working = threading.Lock(), threading.Lock()

    def start(self) -> subprocess.Popen:
        """Start the process if there is none; what it needs it imports by itself."""
        with self._starting:
            if self._process is None or self._process.poll() is not None:
                _end(self._process)
                words = [sys.executable, "-c", _BOOT.format(path=sys.path)]
                self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            return self._process

    def make(
        self,
        table: dict[str, Any],
        folder: Path,
        begun: Callable[[], None],
        ask: Callable[[dict[str, Any]], None],
        add: Callable[[dict[str, Any]], None],
    ) -> None:
        """Make a run.

        Args:
            folder: of the checkpoint.
            begun: called when the request is ready.
            ask: called before each pass with how the batch stands (`Shown`); what it raises ends the run there, and is raised.
            add: called with the designs of each finished batch and with place → why there is none.

        Raises Failed with the engine's words, or because the process ended.
        """
        with self._working:
            process = self.start()
            try:
                _say(process.stdin, {"table": table, "folder": str(folder)})
                self._follow(process, begun, ask, add)
            except (EOFError, BrokenPipeError):
                raise Failed(_lost(process.wait())) from None

    def _follow(self, process: subprocess.Popen, begun: Callable, ask: Callable, add: Callable) -> None:
        try:
            for kind, told in self._heard(process):
                if kind == "begun":
                    begun()
                elif kind == "made":
                    add(told)
                else:
                    ask(told)
                    _say(process.stdin, True)
        except (Failed, EOFError, BrokenPipeError):
            raise
        except BaseException:
            _say(process.stdin, False)
            for _ in self._heard(process):
                pass
            raise

    def _heard(self, process: subprocess.Popen) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the child tells until the run has ended. Raises Failed, or EOFError where the child has."""
        assert process.stdout is not None
        for line in process.stdout:
            kind, told = json.loads(line)
            if kind != "ended":
                yield kind, told
            elif told["trouble"]:
                raise Failed(told["trouble"])
            else:
                return
        raise EOFError

    def close(self) -> None:
        """End the process, if there is one, whatever it does."""
        with self._starting:
            if self._process is not None:
                self._process.kill()
        with self._working, self._starting:  # who reads from it has seen that it ended
            if self._process is not None:
                self._process.kill()
                _end(self._process)
            self._process = None


def _end(process: subprocess.Popen | None) -> None:
    """What is left of a process that has ended."""
    if process is not None:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # words that it did not hear
                pipe.close()  # type: ignore[union-attr]


def _lost(status: int) -> str:
    what = f"ended by itself (status {status})" if status >= 0 else f"was ended ({signal.Signals(-status).name})"
    return (
        f"The process that made this run {what}; there may have been too little memory. "
        "What was finished is kept. Run it again, or ask for shorter sequences or fewer attempts."
    )


class Makers:
    """So many makers, for one run each at a time."""

    def __init__(self, count: int):
        self.all = [Maker() for _ in range(count)]
        self._free: LifoQueue[Maker] = LifoQueue()  # what worked last has its models in memory
        for maker in self.all:
            self._free.put(maker)

    @contextlib.contextmanager
    def one(self) -> Iterator[Maker]:
        """A maker that is free, waited for."""
        maker = self._free.get()
        try:
            yield maker
        finally:
            self._free.put(maker)

    def start(self) -> None:
        """Start one of them; the others start when they are needed."""
        self.all[-1].start()

    def close(self) -> None:
        for maker in self.all:
            maker.close()


def _say(pipe: Any, message: Any) -> None:
    pipe.write(json.dumps(message).encode() + b"\n")
    pipe.flush()


# ── the child ──


def serve() -> None:
    """The child's loop: make runs until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent says what becomes of this one
    if hasattr(os, "nice"):
        os.nice(NICE)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed may mix with the answers
    heard: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(heard,), daemon=True).start()
    import domains.design  # noqa: F401  (before the first request: it takes seconds)

    checkpoints: dict[str, Any] = {}
    while True:
        asked = heard.get()
        if isinstance(asked, dict):  # and not what is left of a run that was to end when it had
            trouble = _make(asked, checkpoints, lambda kind, told: _say(answers, [kind, told]), heard.get)
            _say(answers, ["ended", {"trouble": trouble}])


def _listen(heard: "SimpleQueue[Any]") -> None:
    for line in sys.stdin.buffer:
        heard.put(json.loads(line))
    os._exit(0)  # the parent has ended: at once, in the middle of a pass


class _Stopped(Exception):
    pass


def _make(
    asked: dict[str, Any], checkpoints: dict[str, Any], tell: Callable[[str, dict], None], answer: Callable[[], bool]
) -> str:
    """Make a run; why it failed, or ""."""
    from domains.design import DesignSpec, design_batches, prepare
    from seqdiff.checkpoint import load_checkpoint
    from seqdiff.errors import SeqdiffError

    try:
        folder = asked["folder"]
        checkpoint = checkpoints[folder] = checkpoints.get(folder) or load_checkpoint(Path(folder))
        task = prepare(DesignSpec.from_dict(asked["table"]), checkpoint)
        tell("begun", {})
        shown = Shown([*checkpoint.alphabet.tokens, None, None])

        def watch(state: Any) -> None:
            tell("pass", shown.of(state))
            if not answer():
                raise _Stopped

        none = f"none of {task.spec.cloud} attempts met {' and '.join(task.spec.wishes) or 'what must hold'}"
        for made in design_batches(task, watch):
            missing = {**dict.fromkeys(made.abstained, none), **made.lost}
            tell("made", {"designs": [item.to_dict() for item in made.designs], "missing": list(missing.items())})
    except _Stopped:
        return ""
    except SeqdiffError as error:
        return str(error)
    except MemoryError:
        return "This needs more memory than there is. Ask for shorter sequences or fewer attempts."
    except Exception as error:
        traceback.print_exc()
        return f"The run failed unexpectedly ({type(error).__name__})."
    return ""


class Shown:
    """How the batch at work stands, and one of its rows, the same until it is finished.

    Attributes:
        names: of the tokens; None for mask and pad.
        place: of the row in the request.
    """

    def __init__(self, names: list[str | None]):
        self.names, self.place = names, -1

    def of(self, state: Any) -> dict[str, Any]:
        """A sampler's state: `filled`, [place, the share of its holes that is filled]; `place`, `row` and `free` of one row."""
        places = state.sample.tolist()
        still = ((state.tokens >= len(self.names) - 2) & state.changeable).sum(1) / state.changeable.sum(1).clamp(min=1)
        if self.place not in places:
            self.place = min(zip(places, state.slot.tolist(), strict=True))[0]
        row = min(range(len(places)), key=lambda i: (places[i] != self.place, int(state.slot[i])))
        frame = [self.names[token] if token < len(self.names) else None for token in state.tokens[row].tolist()]
        free = state.free[row].tolist() if state.free is not None else [token is None for token in frame]
        filled = [[place, 1 - share] for place, share in zip(places, still.tolist(), strict=True)]
        return {"filled": filled, "place": self.place, "row": frame, "free": free}
