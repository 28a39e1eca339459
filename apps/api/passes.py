"""Continuous batching: requests that ask the same model about rows of one length share its forward passes.

Every request runs its own sampling loop in a thread of its own; its denoiser is a `Shared`, whose call waits until the rows
have been through the network in whatever company. A pass begins when nobody can compute without one (`turns`). It takes the
calls that wait, in the order in which they came, up to a bound on its tokens; a call that is larger goes on behind the
others, so that passes go round by request. A row's logits do not depend on its company (rows are never padded to a common
length), and the noise is the row's own: so is its answer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from apps.api.turns import Turns, Waiter

LOOK = 0.2  # seconds between two looks at whether a request is still wanted, while it waits


class Stopped(Exception):
    """The request whose pass this was is not wanted any more; `reason` says why."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass
class Lane:
    """A request as the passes see it.

    Attributes:
        turns: of all that computes; its own part is computed in turns, which end where it waits.
        until: time.monotonic() at which its time is over.
        cancelled: set by who does not want it any more: it ends before its next pass.
        uses: what no two may use at a time, once it is known; see `Turns`.
        passes, waited: passes it took part in, and the seconds it waited for them.
        queued: seconds that it waited for its turns.
        computed: seconds of processor time in them.
    """

    turns: Turns
    until: float = float("inf")
    cancelled: threading.Event = field(default_factory=threading.Event)
    uses: Any = None
    passes: int = 0
    waited: float = 0.0
    queued: float = 0.0
    computed: float = 0.0
    _turn: Waiter | None = None
    _since: float = 0.0

    def take_turn(self) -> None:
        started = time.monotonic()
        self._turn = self.turns.take(self.uses)
        self.queued += time.monotonic() - started
        self._since = time.thread_time()

    def give_turn(self) -> None:
        assert self._turn is not None
        self.computed += time.thread_time() - self._since
        self.turns.give(self._turn)

    def use(self, what: Any) -> None:
        """Go on in turns in which nobody else uses this; None is nothing."""
        if what is not None:
            self.give_turn()
            self.uses = what
            self.take_turn()

    def wait(self, event: threading.Event) -> None:
        """Wait for an event, and then for a turn to go on. Raises Stopped."""
        self.give_turn()
        try:
            while not event.wait(LOOK):
                self.check()
        finally:
            self.take_turn()

    def check(self) -> None:
        """Raises Stopped."""
        if self.cancelled.is_set():
            raise Stopped("cancelled")
        if time.monotonic() > self.until:
            raise Stopped("time")


@dataclass
class Call:
    """Rows that wait for the network: R rows of one length, some perhaps done."""

    key: Hashable
    ask: Callable[..., Tensor]
    rows: dict[str, Tensor]
    size: int
    length: int
    taken: int = 0
    parts: list[Tensor] = field(default_factory=list)
    error: BaseException | None = None
    abandoned: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class Passes:
    """The thread that runs the networks.

    Attributes:
        tokens: most rows × length of a pass; a single longer row goes alone.
        runs, rows, calls: passes so far, rows in them, and calls that they served.
    """

    def __init__(self, turns: Turns, tokens: int = 4096):
        self.turns, self.tokens = turns, tokens
        self.runs = self.rows = self.calls = 0
        self._waiting: deque[Call] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="passes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; calls that wait are stopped."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def run(self, lane: Lane, call: Call) -> Tensor:
        """The logits (R, …) of a call, once its rows have been through the network. Raises Stopped."""
        lane.check()
        started = time.monotonic()
        with self._change:
            if self._closed:
                raise Stopped("closing")
            self._waiting.append(call)
            self._change.notify()
        queued = lane.queued
        try:
            lane.wait(call.done)
        except Stopped:
            call.abandoned = True
            raise
        finally:
            lane.waited += time.monotonic() - started - (lane.queued - queued)
        lane.passes += 1
        lane.check()
        if call.error is not None:
            raise call.error
        return call.parts[0] if len(call.parts) == 1 else torch.cat(call.parts)

    def _loop(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
            turn = self.turns.take_last()
            try:
                with self._change:
                    self._waiting = deque(call for call in self._waiting if not call.abandoned)
                    if self._closed:
                        for call in self._waiting:
                            call.error = Stopped("closing")
                            call.done.set()
                        return
                    group = self._next() if self._waiting else []
                if group:
                    self._pass(group)
            finally:
                self.turns.give(turn)

    def _next(self) -> list[tuple[Call, int, int]]:
        """Calls of one key with their rows from … to; what is left of a call goes to the end of the line."""
        head = self._waiting[0]
        room = max(1, self.tokens // head.length)
        group, rest = [], deque()
        for call in self._waiting:
            take = min(room, call.size - call.taken) if call.key == head.key else 0
            if take:
                group.append((call, call.taken, call.taken + take))
                call.taken += take
                room -= take
        served = {id(call) for call, _, _ in group}
        rest.extend(call for call in self._waiting if id(call) not in served)
        rest.extend(call for call, _, end in group if end < call.size)
        self._waiting = rest
        return group

    def _pass(self, group: list[tuple[Call, int, int]]) -> None:
        try:
            parts = forward(group)
        except Exception as error:  # one request's rows must not be the end of the others
            if len(group) > 1:
                for one in group:
                    self._pass([one])
                return
            group[0][0].error = error
            group[0][0].done.set()
            with self._change:
                self._waiting = deque(call for call in self._waiting if call is not group[0][0])
            return
        self.runs, self.calls = self.runs + 1, self.calls + len(group)
        self.rows += sum(end - start for _, start, end in group)
        for (call, _, end), part in zip(group, parts, strict=True):
            call.parts.append(part)
            if end == call.size:
                call.done.set()


@torch.no_grad()
def forward(group: list[tuple[Call, int, int]]) -> list[Tensor]:
    """One pass over rows of several calls; positions (R, P) are filled up to the most, and cut again."""
    columns: dict[str, list[Tensor]] = {}
    widths = [call.rows["positions"].shape[1] if "positions" in call.rows else None for call, _, _ in group]
    most = max((width for width in widths if width is not None), default=0)
    for call, start, end in group:
        for name, value in call.rows.items():
            part = value[start:end]
            if name == "positions" and part.shape[1] < most:
                part = torch.cat([part, part[:, :1].expand(-1, most - part.shape[1])], 1)
            columns.setdefault(name, []).append(part)
    out = group[0][0].ask(**{name: torch.cat(parts) if len(parts) > 1 else parts[0] for name, parts in columns.items()})
    parts = out.split([end - start for _, start, end in group])
    return [part if width is None else part[:, :width] for part, width in zip(parts, widths, strict=True)]


class Shared:
    """A denoiser like any other, as one request sees it: its rows go through the network together with others'."""

    def __init__(self, denoiser: Any, name: str, passes: Passes, lane: Lane):
        self._denoiser, self._name, self._passes, self._lane = denoiser, name, passes, lane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None, **more) -> Tensor:
        denoiser = self._denoiser
        needs_time, labels = getattr(denoiser, "needs_time", True), getattr(denoiser, "labels", 0)
        rows: dict[str, Any] = {"x_t": x_t, "lengths": lengths, "positions": positions, **more}
        if needs_time and t is not None:
            rows["t"] = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        if labels:  # no class is the class after the last
            nothing = torch.full((len(x_t),), labels, dtype=torch.int64, device=x_t.device)
            rows["label"] = nothing if label is None else label
        rows = {name: value for name, value in rows.items() if value is not None}
        shapes = tuple((name, value.dtype, value.shape[1:]) for name, value in sorted(rows.items()) if name != "positions")
        key = (self._name, shapes, "positions" in rows)
        return self._passes.run(self._lane, Call(key, denoiser, rows, len(x_t), x_t.shape[1]))
