"""Requests made ready, kept: what differs in seed, number or steps alone is read and compiled once."""

import threading
from collections import OrderedDict
from dataclasses import replace

from apps.api.passes import Lane
from domains.request import Task, prepare
from domains.spec import DesignSpec
from seqdiff.checkpoint import Checkpoint

KEPT = 64  # requests that are kept ready
FREE = ("n", "seed", "steps", "batch_size", "bound_draws")  # fields that nothing is prepared by


class Plans:
    """A bounded store of tasks, the last used ones. One that is being made is waited for, not made twice."""

    def __init__(self, most: int = KEPT):
        self.most = most
        self._tasks: OrderedDict[tuple, Task] = OrderedDict()
        self._making: dict[tuple, threading.Event] = {}
        self._lock = threading.Lock()

    def ready(self, spec: DesignSpec, checkpoint: Checkpoint, lane: Lane) -> Task:
        """`prepare(spec, checkpoint)`, perhaps from before. Raises what it raises, and Stopped while it waits."""
        key = key_of(spec)
        while True:
            with self._lock:
                found, other = self._kept(key), self._making.get(key)
                if found is None and other is None:
                    mine = self._making[key] = threading.Event()
                    break
            if found is not None:
                lane.use(scratch_of(found))
                return replace(found, spec=spec, checkpoint=checkpoint)
            if other is not None:
                lane.wait(other)
        try:
            task = prepare(spec, checkpoint)
            with self._lock:
                self._tasks[key] = task
                while len(self._tasks) > self.most:
                    self._tasks.popitem(last=False)
        finally:
            with self._lock:
                del self._making[key]
            mine.set()
        lane.use(scratch_of(task))
        return task

    def known(self, spec: DesignSpec) -> Task | None:
        """The task of a request that differs at most in seed, number or steps, if it is kept."""
        with self._lock:
            return self._kept(key_of(spec))

    def _kept(self, key: tuple) -> Task | None:
        if key in self._tasks:
            self._tasks.move_to_end(key)
        return self._tasks.get(key)


def scratch_of(task: Task) -> object | None:
    """What requests of one task must not use at a time: what is compiled keeps room for its own sums. None for nothing."""
    return task.ways if task.guide or task.gradients or any(way.plan is not None for way in task.ways) else None


def key_of(spec: DesignSpec) -> tuple:
    """What a task depends on; of the ways to write what is drawn as many are made ready as there are designs."""
    told = {name: value for name, value in vars(spec).items() if name not in FREE}
    return (*told.values(), spec.n if spec.task else None)
