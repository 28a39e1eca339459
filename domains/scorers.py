"""Black-box scorers: a Python function or a service over HTTP, called by a name in a wish: "score dock >= 0.5".

A wish names a scorer and never a path or an address, so that a text from anywhere runs no code and reaches no host. Which
names there are is for the caller to say, for the length of a `with` (and for the thread or task that it runs in):

    with scorers({"dock": "http://localhost:8000/score", "size": lambda sequences: [len(s) for s in sequences]}):
        design(domain="smiles", template="CC{4}", wishes=["score dock >= 0.5"])

A service gets POST {"sequences": ["CCO", …]} and answers {"scores": [0.7, …]}, one finite number each in the same order, or
null for a sequence that has none, which is then never returned. A function gets the list and returns as many numbers.
"""

import http.client
import importlib
import json
import math
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from seqdiff.errors import ConditionError, ConfigError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)
BATCH, SECONDS, MAX_ANSWER = 256, 60.0, 1 << 20  # sequences of a call, its time, octets of an answer

Function = Callable[[list[str]], Any]


@dataclass(frozen=True)
class Scorer:
    """A named function of sequences.

    Attributes:
        function: sequences → as many numbers, None for one that has none.
    """

    name: str
    function: Function

    def measure(self, normal: Callable[[str], str] = str) -> Callable[[list[str]], list[float | None]]:
        """Scores of sequences in their normal form, at most BATCH a call; each form is asked for once.

        Raises ConditionError where the function fails or gives something else than a number for each.
        """
        known: dict[str, float | None] = {}

        def scores(texts: list[str]) -> list[float | None]:
            forms = [normal(text) for text in texts]
            new = [form for form in dict.fromkeys(forms) if form not in known]
            for start in range(0, len(new), BATCH):
                part = new[start : start + BATCH]
                known.update(zip(part, self._ask(part), strict=True))
            return [known[form] for form in forms]

        return scores

    def _ask(self, sequences: list[str]) -> list[float | None]:
        try:
            answer = list(self.function(list(sequences)))
        except ConditionError:
            raise
        except Exception as error:
            raise ConditionError(f"scorer {self.name!r}: failed on {len(sequences)} sequences ({error!r})") from error
        if len(answer) != len(sequences):
            raise ConditionError(f"scorer {self.name!r}: expected {len(sequences)} scores, one a sequence, got {len(answer)}")
        return [self._number(value, sequence) for value, sequence in zip(answer, sequences, strict=True)]

    def _number(self, value, sequence: str) -> float | None:
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, (str, bytes, bool)) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise ConditionError(
                f"scorer {self.name!r}: expected a finite number or null for {sequence}, got {str(value)[:60]}; "
                "null says that it has none"
            )
        return number


@dataclass(frozen=True)
class Service:
    """A scorer over HTTP. No redirect is followed: what is asked is the address that the caller gave."""

    url: str
    seconds: float = SECONDS

    def __post_init__(self):
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good or not self.url.isprintable() or " " in self.url or "@" in self.url.partition("//")[2].partition("/")[0]:
            raise ConfigError(
                f"scorer: expected an address such as http://localhost:8000/score, without a password; got {self.url!r}"
            )

    def __call__(self, sequences: list[str]) -> list:
        body = json.dumps({"sequences": sequences}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json", "Accept": "application/json"})
        try:
            with _OPENER.open(request, timeout=self.seconds) as answer:
                text = self._read(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ConditionError(f"scorer: {self.url} answered with status {error.code} ({error.reason})") from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # refused, no such host, too slow, not HTTP
            reason = f"no answer in {self.seconds:g} seconds" if "timed out" in str(error) else str(error)
            raise ConditionError(f"scorer: could not ask {self.url}: {reason}; is the service running?") from None
        if len(text) > MAX_ANSWER:
            raise ConditionError(
                f"scorer: {self.url} answered with more than {MAX_ANSWER:,} octets to {len(sequences)} sequences"
            )
        try:
            scores = json.loads(text)["scores"]
        except (ValueError, KeyError, TypeError, RecursionError):
            scores = None
        if not isinstance(scores, list):
            start = text[:80].decode(errors="replace")
            raise ConditionError(f'scorer: expected {{"scores": [0.7, …]}} of {self.url}, got {start!r}')
        return scores

    def _read(self, answer) -> bytes:
        """As much as an answer may have and one octet more, in the time of the call; a socket's own limit is for each piece."""
        text, until = b"", time.monotonic() + self.seconds
        while len(text) <= MAX_ANSWER and (piece := answer.read1(1 << 16)):
            text += piece
            if time.monotonic() > until:
                raise TimeoutError("timed out")
        return text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)
_known: ContextVar[Mapping[str, Scorer]] = ContextVar("scorers")


@contextmanager
def scorers(known: Mapping[str, Function | str]) -> Iterator[None]:
    """Within this `with`, wishes may name these scorers: functions, or addresses of services. Only these, not an outer one's.

    Raises ConfigError for a name or an address that cannot be.
    """
    found = {}
    for name, what in known.items():
        if not NAME.fullmatch(name):
            raise ConfigError(f"scorer: expected a name of letters, digits, '.', '_' and '-', at most 64; got {name!r}")
        if not isinstance(what, str) and not callable(what):
            raise ConfigError(f"scorer: expected a function or an address for {name!r}, got {type(what).__name__}")
        found[name] = Scorer(name, Service(what) if isinstance(what, str) else what)
    token = _known.set(found)
    try:
        yield
    finally:
        _known.reset(token)


def scorer(name: str) -> Scorer:
    """The scorer that the caller calls so. Raises ConditionError."""
    known = _known.get({})
    if name in known:
        return known[name]
    if not known:
        raise ConditionError(
            f"wish: no scorers were given, so 'score {name}' cannot be asked; give them by name with domains.scorers.scorers"
        )
    raise ConditionError(f"wish: expected one of the scorers {', '.join(known)}; got {name!r}")


def read_scorers(texts: Iterable[str]) -> dict[str, Function | str]:
    """Scorers as a user at their own machine names them: "dock=http://localhost:8000/score", "size=mymodule:function".

    It imports what it is told to: for the command line, never for a text from elsewhere. Raises ConfigError.
    """
    found: dict[str, Function | str] = {}
    for text in texts:
        name, sign, what = text.partition("=")
        if not sign or not what or not NAME.fullmatch(name):
            raise ConfigError(f"scorer: expected NAME=URL or NAME=module:function, got {text!r}")
        if name in found:
            raise ConfigError(f"scorer: {name!r} is given twice")
        found[name] = Service(what) if "://" in what else _imported(what)
    return found


def _imported(what: str) -> Function:
    module, sign, name = what.partition(":")
    if not sign or not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ConfigError(f"scorer: expected module:function or an address with ://, got {what!r}")
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"scorer: cannot import {what} ({error})") from None
    if not callable(function):
        raise ConfigError(f"scorer: {what} is no function but {type(function).__name__}")
    return function
