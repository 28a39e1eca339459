"""What a user typed is compiled in a child process that can be killed: limits on seconds and memory, never a hang.

One child is kept warm and used again; it is replaced after a time-out, a lack of memory or a crash. Request and answer are
a line of JSON; the automaton follows as npz, read without pickle. The last automata are remembered.
"""

import atexit
import hashlib
import importlib
import io
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import fields
from typing import Any

import numpy as np

from constraints.automata.automaton import Automaton
from constraints.grammars.grammar import Grammar
from seqdiff.errors import ConditionError

REMEMBERED = 64
_START_SECONDS = 60.0  # to start Python and import numpy, on a busy machine
# The package's own __init__ imports torch, which a compiler of automata does not need: its modules are reached without it.
_BOOT = """
import sys, types
sys.path[:] = PATH
constraints = sys.modules["constraints"] = types.ModuleType("constraints")
constraints.__path__ = [FOLDER]
from constraints.compilation.guard import serve
serve()
"""


def guarded_regex(pattern: str, tokens: tuple[str, ...], seconds: float = 1.0, megabytes: int = 256) -> Automaton:
    """`constraints.automata.regex.regex`, within limits."""
    return guarded("constraints.automata.regex:regex", pattern, tokens, seconds, megabytes)


def guarded_grammar(
    text: str, tokens: tuple[str, ...], start: str = "start", seconds: float = 2.0, megabytes: int = 256
) -> Grammar:
    """`constraints.grammars.grammar_reader.read_grammar`, within limits."""
    return guarded("constraints.grammars.grammar_reader:read_grammar", text, tokens, seconds, megabytes, Grammar, start=start)


def guarded(
    function: str,
    text: str,
    tokens: tuple[str, ...],
    seconds: float = 1.0,
    megabytes: int = 256,
    result: type = Automaton,
    **more: str,
) -> Any:
    """function(text, tokens, **more), given as "module:name", within limits; remembered.

    Args:
        result: the dataclass of arrays and numbers that it returns.

    Raises ConditionError: the function's own, or that it took too long, needed too much memory or crashed.
    """
    key = (function, text, tuple(sorted(more.items())), hashlib.sha256(json.dumps(tokens).encode()).hexdigest())
    with _lock:
        if key in _remembered:
            _remembered.move_to_end(key)
            return _remembered[key]
        request = {"function": function, "text": text, "tokens": tokens, "megabytes": megabytes, "more": more}
        _remembered[key] = _compile(request, seconds, result)
        if len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
        return _remembered[key]


def close() -> None:
    """End the child, if there is one, and forget every automaton."""
    global _child
    with _lock:
        _remembered.clear()
        if _child is not None:
            _child.kill()
            _child = None


def _compile(request: dict, seconds: float, result: type) -> Any:
    global _child
    child, _child = _child, None  # put back only after a whole answer, whatever interrupts
    if child is None or child.owner != os.getpid():  # a fork must not share the pipes of its parent's child
        child = _Child()
    try:
        answer, payload = child.ask(request, seconds)
        if "trouble" not in answer:
            _child = child
    except TimeoutError:
        answer, payload = {"trouble": f"takes more than {seconds:g} seconds"}, b""
    except (EOFError, BrokenPipeError):
        answer, payload = {"trouble": f"crashed (exit status {child.process.wait()})"}, b""
    finally:
        if _child is None:
            child.kill()
    if "refused" in answer:
        raise ConditionError(answer["refused"])
    if "trouble" in answer:
        function, text = request["function"], request["text"]
        shown = f"{function.rpartition(':')[2]} {text if len(text) <= 60 else text[:57] + '…'!r}"
        raise ConditionError(f"{shown}: compiling it {answer['trouble']}; simplify it or split it into several constraints")
    arrays = np.load(io.BytesIO(payload), allow_pickle=False)
    return result(**{name: array if array.ndim else array.item() for name, array in arrays.items()})


class _Child:
    def __init__(self):
        self.owner = os.getpid()
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        boot = _BOOT.replace("PATH", repr(sys.path)).replace("FOLDER", repr(package))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", boot],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self.unread = b""
        try:
            self._line(time.monotonic() + _START_SECONDS)
        except (TimeoutError, EOFError):
            self.kill()
            raise ConditionError(
                "the process that compiles constraints did not start; check that Python can be run again"
            ) from None

    def ask(self, request: dict, seconds: float) -> tuple[dict, bytes]:
        """Raises TimeoutError, or EOFError or BrokenPipeError where the child has ended."""
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


_lock = threading.RLock()
_remembered: OrderedDict[tuple, Any] = OrderedDict()
_child: _Child | None = None
atexit.register(close)


def serve() -> None:
    """The child's loop: answer requests until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed may mix with the answers
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
        _limit_memory(request["megabytes"] << 20)
        made = function(request["text"], tuple(request["tokens"]), **request["more"])
        packed = io.BytesIO()
        np.savez(packed, **{field.name: getattr(made, field.name) for field in fields(made)})
        return {"size": packed.tell()}, packed.getvalue()
    except ConditionError as error:
        return {"refused": str(error)}, b""
    except MemoryError:
        return {"trouble": f"needs more than {request['megabytes']} MB"}, b""
    except Exception as error:
        return {"trouble": f"failed with {type(error).__name__}: {error}"}, b""


def _limit_memory(octets: int) -> None:
    """RLIMIT_DATA counts what the process may write to, not the libraries it maps."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (octets, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    except (ImportError, ValueError, OSError):
        pass  # a system without such a limit: the one on seconds remains
