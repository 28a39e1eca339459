"""What a running service consists of, and how its parts begin and end."""

import threading

from starlette.concurrency import run_in_threadpool

from apps.api.engine import Engine, Work
from apps.api.errors import Refused
from apps.api.events import Logs
from apps.api.jobs import Jobs
from apps.api.limits import check_length, read_spec
from apps.api.models import Models
from apps.api.observe import Figures
from apps.api.passes import Stopped
from apps.api.settings import Settings
from apps.api.store import Store
from domains.spec import DesignSpec
from seqdiff.checkpoint import Checkpoint

WARM = "CC{1-2}"  # reading it starts the process that meets molecules first


class Service:
    """Made when the application is made; `open` loads the models and begins to work, `close` ends all.

    Attributes:
        stopping: set when the process has been told to end: streams end, and no request is taken on.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.models = Models(settings.folders(), settings.offered)
        self.logs = Logs()
        self.stopping = threading.Event()
        self.ready = False
        self.streams = 0
        self._opened = False
        self.figures = Figures(
            {
                "requests_open": ("Requests at work or in the line", lambda: self.engine.load if self._opened else 0),
                "passes": ("Forward passes", lambda: self.engine.passes.runs if self._opened else 0),
                "pass_rows": ("Rows in them", lambda: self.engine.passes.rows if self._opened else 0),
                "pass_calls": ("Calls of requests that they served", lambda: self.engine.passes.calls if self._opened else 0),
                "streams": ("Clients that follow jobs", lambda: self.streams),
            }
        )

    def open(self) -> None:
        s = self.settings
        self.models.load()
        self.store = Store(s.database, s.lease)
        self.engine = Engine(s.active, s.waiting, s.jobs, s.pass_tokens)
        self.jobs = Jobs(self.store, self.engine, self.models, self.logs, s.jobs, s.job_seconds)
        self._opened = True
        for name in self.models.names:
            self._warm(name)
        self.ready = True

    def _warm(self, name: str) -> None:
        """The first request of a domain pays for imports and child processes; it shall be this one."""
        from seqdiff.errors import SeqdiffError

        row = self.models.row(name)
        table = {"domain": row["domain"], "model": name, "n": 1, "steps": 2, "bound_draws": 0, "sampler": row["samplers"][0]}
        table |= {"template": WARM} if row["domain"] == "smiles" else {}
        try:
            spec, _, checkpoint = self.read(table)
            self.engine.submit(spec, checkpoint, name, 60.0).future.result(60.0)
        except (Refused, SeqdiffError, Stopped, TimeoutError):
            pass  # a model of other tokens, or without lengths, or a machine that is too busy now: the first request pays

    def close(self) -> None:
        self.ready = False
        self.stopping.set()
        if self._opened:
            self.jobs.close()
            self.engine.close()
            self.store.close()

    def read(self, table: dict, job: bool = False) -> tuple[DesignSpec, str, Checkpoint]:
        """A request, its model's name and its model, checked for syntax and size. Raises SeqdiffError, Refused."""
        spec = read_spec(table, job)
        name, checkpoint = self.models.find(spec)
        checkpoint.label_index(spec.label)
        if spec.task is None:  # the ways to write a task are worked out where the request is
            check_length(spec, checkpoint, self.engine.plans.known(spec))
        return spec, name, checkpoint

    async def take(self, table: dict) -> Work:
        """Read a request and hand it to the engine."""
        if self.stopping.is_set():
            raise Refused(503, "the service is ending; ask again", {"Retry-After": "5"})
        spec, name, checkpoint = await run_in_threadpool(self.read, table)
        return self.engine.submit(spec, checkpoint, name, self.settings.seconds)
