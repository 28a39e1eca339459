"""What a user drew is read by RDKit in a child process that can be killed: limits on seconds and memory, never a hang.

One child is kept warm; it is replaced after a time-out, a lack of memory or a crash. Request and answer are a line of JSON.
"""

import atexit
import importlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from typing import Any

from seqdiff.errors import SeqdiffError, TemplateError

SECONDS, MEGABYTES = 2.0, 512
_START_SECONDS = 60.0  # to start Python and import RDKit, on a busy machine
_BOOT = "import sys; sys.path[:] = {path!r}\nfrom domains.smiles.fragments_worker import serve\nserve()\n"


def limited(function: str, *arguments: Any, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Any:
    """function(*arguments), given as "module:name", within limits; arguments and answer are what JSON can hold.

    Raises TemplateError: the function's own, or that it took too long, needed too much memory or crashed.
    """
    global _child
    with _lock:
        child, _child = _child, None  # put back only after a whole answer, whatever interrupts
        if child is None or child.owner != os.getpid():  # a fork must not share the pipes of its parent's child
            child = _Child()
        try:
            answer = child.ask({"function": function, "arguments": arguments, "megabytes": megabytes}, seconds)
            if "trouble" not in answer:
                _child = child
        except TimeoutError:
            answer = {"trouble": f"takes more than {seconds:g} seconds"}
        except (EOFError, BrokenPipeError):
            answer = {"trouble": f"crashed (exit status {child.process.wait()})"}
        finally:
            if _child is None:
                child.kill()
    if "refused" in answer:
        raise TemplateError(answer["refused"])
    if "trouble" in answer:
        raise TemplateError(f"fragments: reading them {answer['trouble']}; draw something smaller")
    return answer["value"]


def close() -> None:
    """End the child, if there is one."""
    global _child
    with _lock:
        if _child is not None:
            _child.kill()
            _child = None


class _Child:
    def __init__(self):
        self.owner, self.unread = os.getpid(), b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            bufsize=0,
        )
        try:
            self._line(time.monotonic() + _START_SECONDS)
        except (TimeoutError, EOFError):
            self.kill()
            raise TemplateError("the process that reads molecules did not start; check that Python can be run again") from None

    def ask(self, request: dict, seconds: float) -> dict:
        """Raises TimeoutError, or EOFError or BrokenPipeError where the child has ended."""
        assert self.process.stdin is not None
        until = time.monotonic() + seconds
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        return json.loads(self._line(until))

    def _line(self, until: float) -> bytes:
        assert self.process.stdout is not None
        while b"\n" not in self.unread:
            with selectors.DefaultSelector() as selector:
                selector.register(self.process.stdout, selectors.EVENT_READ)
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            if not more:
                raise EOFError
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def kill(self) -> None:
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


_lock = threading.RLock()
_child: _Child | None = None
atexit.register(close)


def serve() -> None:
    """The child's loop: answer requests until the parent closes the pipe."""
    from rdkit import Chem, RDLogger  # noqa: F401

    import domains.smiles.tasks  # noqa: F401  (imported before the clock of the first request runs)

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed may mix with the answers
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")
        answers.flush()


def _answer(request: dict) -> dict:
    module, _, name = request["function"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        _limit_memory(request["megabytes"] << 20)
        return {"value": function(*request["arguments"])}
    except SeqdiffError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"trouble": f"needs more than {request['megabytes']} MB"}
    except Exception as error:
        return {"trouble": f"failed with {type(error).__name__}: {error}"}


def _limit_memory(octets: int) -> None:
    """RLIMIT_DATA counts what the process may write to, not the libraries it maps."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (octets, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    except (ImportError, ValueError, OSError):
        pass  # a system without such a limit: the one on seconds remains
