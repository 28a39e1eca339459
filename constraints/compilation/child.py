"""A child process that works on what a user typed and can be killed: limits on seconds and memory, never a hang.

Seconds are the child's own of the processor, so that what else the machine does refuses nobody: a timer of the kernel ends the
child, whatever it is in the middle of. The parent waits ten times as long and kills it then, should it sleep. Where there is
no such timer, the parent waits for the seconds themselves.

One child is kept warm and used again; it is replaced after a time-out, a lack of memory or a crash. Request and answer are
a line of JSON; a dataclass of arrays follows its line as npz, read without pickle.
"""

import atexit
import importlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from seqdiff.errors import SeqdiffError

_START_SECONDS = 60.0  # to start Python and import what is asked for, on a busy machine
_TIMED = hasattr(signal, "setitimer")
_PATIENCE = 10.0 if _TIMED else 1.0  # seconds on the wall for one of the processor
# The package's own __init__ imports torch, which no child needs: its modules are reached without it.
_BOOT = """
import sys, types
sys.path[:] = {path!r}
constraints = sys.modules["constraints"] = types.ModuleType("constraints")
constraints.__path__ = [{folder!r}]
from constraints.compilation.child import serve
serve({modules!r})
"""


class Worker:
    """A child, started when it is first needed, and again after it had to be killed.

    Attributes:
        modules: what the child imports before the clock of its first request runs.
    """

    def __init__(self, *modules: str):
        self.modules = modules
        self.child: Child | None = None
        self.lock = threading.RLock()
        atexit.register(self.close)

    def ask(
        self, function: str, arguments: Sequence[Any], more: Mapping[str, Any], seconds: float, megabytes: int
    ) -> tuple[dict, bytes]:
        """function(*arguments, **more), given as "module:name", within limits; arguments are what JSON can hold.

        Returns:
            {"value": …}, or {"size": …} and a dataclass as npz, or {"refused": the function's own words}, or {"trouble": …}:
            that it took too long, needed too much memory, failed or crashed.
        """
        request = {"function": function, "arguments": arguments, "more": more, "seconds": seconds, "megabytes": megabytes}
        late = {"trouble": f"takes more than {seconds:g} seconds"}
        with self.lock:
            child, self.child = self.child, None  # put back only after a whole answer, whatever interrupts
            if child is None or child.owner != os.getpid():  # a fork must not share the pipes of its parent's child
                child = Child(self.modules)
            try:
                answer, payload = child.ask(request, _PATIENCE * seconds)
                if "trouble" not in answer:
                    self.child = child
            except TimeoutError:
                answer, payload = late, b""
            except (EOFError, BrokenPipeError):
                status = child.process.wait()
                timed_out = _TIMED and status == -signal.SIGPROF
                answer, payload = late if timed_out else {"trouble": f"crashed (exit status {status})"}, b""
            finally:
                if self.child is None:
                    child.kill()
        return answer, payload

    def close(self) -> None:
        """End the child, if there is one."""
        with self.lock:
            if self.child is not None:
                self.child.kill()
                self.child = None


class Child:
    """The process. Raises SeqdiffError if it does not start."""

    def __init__(self, modules: Sequence[str]):
        self.owner, self.unread = os.getpid(), b""
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(path=sys.path, folder=package, modules=tuple(modules))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            bufsize=0,
        )
        try:
            self._line(time.monotonic() + _START_SECONDS)
        except (TimeoutError, EOFError):
            self.kill()
            raise SeqdiffError(
                "the process that reads what was typed did not start; check that Python can be run again"
            ) from None

    def ask(self, request: dict, seconds: float) -> tuple[dict, bytes]:
        """Waits for so many seconds. Raises TimeoutError, or EOFError or BrokenPipeError where the child has ended."""
        assert self.process.stdin is not None
        until = time.monotonic() + seconds
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        answer = json.loads(self._line(until))
        size = answer.get("size", 0)
        while len(self.unread) < size:
            self._read(until)
        payload, self.unread = self.unread[:size], self.unread[size:]
        return answer, payload

    def _line(self, until: float) -> bytes:
        while b"\n" not in self.unread:
            self._read(until)
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _read(self, until: float) -> None:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
        more = os.read(self.process.stdout.fileno(), 1 << 20)
        if not more:
            raise EOFError
        self.unread += more

    def kill(self) -> None:
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def serve(modules: Sequence[str]) -> None:
    """The child's loop: answer requests until the parent closes the pipe."""
    for module in modules:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed may mix with the answers
    if _TIMED:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # to end; a parent that ignores it passes that on
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin:
        answer, payload = _answer(json.loads(line))
        answers.write(json.dumps(answer).encode() + b"\n" + payload)
        answers.flush()


def _answer(request: dict) -> tuple[dict, bytes]:
    module, _, name = request["function"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        arguments = [tuple(given) if isinstance(given, list) else given for given in request["arguments"]]
        _limit_memory(request["megabytes"] << 20)
        _limit_time(request["seconds"])
        made = function(*arguments, **request["more"])
        if not is_dataclass(made):
            return {"value": made}, b""
        packed = io.BytesIO()
        np.savez(packed, **{field.name: getattr(made, field.name) for field in fields(made)})
        return {"size": packed.tell()}, packed.getvalue()
    except SeqdiffError as error:
        return {"refused": str(error)}, b""
    except MemoryError:
        return {"trouble": f"needs more than {request['megabytes']} MB"}, b""
    except Exception as error:
        return {"trouble": f"failed with {type(error).__name__}: {error}"}, b""
    finally:
        _limit_time(0)


def _limit_time(seconds: float) -> None:
    """SIGPROF ends the process after so many seconds of the processor from now; 0: no more of it."""
    if _TIMED:
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit_memory(octets: int) -> None:
    """RLIMIT_DATA counts what the process may write to, not the libraries it maps."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (octets, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    except (ImportError, ValueError, OSError):
        pass  # a system without such a limit: the one on seconds remains
