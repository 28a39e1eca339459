"""What a user typed is compiled in a child process that can be killed: limits on seconds and memory, never a hang.

Seconds are the child's own of the processor. The child is warm and knows no torch (`child`). The last automata are remembered.
"""

import hashlib
import io
import json
from collections import OrderedDict
from typing import Any

import numpy as np

from constraints.automata.automaton import Automaton
from constraints.compilation.child import Worker
from constraints.grammars.grammar import Grammar
from seqdiff.errors import ConditionError

REMEMBERED = 64
_worker = Worker("numpy")
_remembered: OrderedDict[tuple, Any] = OrderedDict()


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
    with _worker.lock:
        if key in _remembered:
            _remembered.move_to_end(key)
            return _remembered[key]
        answer, payload = _worker.ask(function, (text, tokens), more, seconds, megabytes)
        if "refused" in answer:
            raise ConditionError(answer["refused"])
        if "trouble" in answer:
            shown = f"{function.rpartition(':')[2]} {text if len(text) <= 60 else text[:57] + '…'!r}"
            raise ConditionError(f"{shown}: compiling it {answer['trouble']}; simplify it or split it into several constraints")
        arrays = np.load(io.BytesIO(payload), allow_pickle=False)
        _remembered[key] = result(**{name: array if array.ndim else array.item() for name, array in arrays.items()})
        if len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
        return _remembered[key]


def close() -> None:
    """End the child, if there is one, and forget every automaton."""
    with _worker.lock:
        _remembered.clear()
        _worker.close()
