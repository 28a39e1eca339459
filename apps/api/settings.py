"""What a service is told when it starts."""

from dataclasses import dataclass
from pathlib import Path

from domains.registry import MODEL_NAME
from seqdiff.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Settings:
    """A service's configuration.

    Attributes:
        host, port: where it listens; beyond loopback a token is required.
        token: what every request must carry, as "Authorization: Bearer …"; None asks for none.
        database: SQLAlchemy URL of the jobs.
        models: a folder whose subfolders are checkpoints, offered by name beside the bundled ones.
        offered: names of the models that are loaded, () for all there are.
        active: requests that are worked on together.
        waiting: further requests that may wait; beyond that they are refused with 429.
        seconds: of a request, waiting included.
        jobs: jobs that are worked on together.
        job_seconds: of a job.
        queued_jobs: jobs that may wait.
        streams: clients that may follow jobs.
        pass_tokens: most rows × length of one forward pass.
        lease: seconds after which a job of a server that gives no sign is taken over.
        show_sequences: whether the log holds templates and constraints.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    database: str = "sqlite:///seqdiff-jobs.db"
    models: Path | None = None
    offered: tuple[str, ...] = ()
    active: int = 32
    waiting: int = 64
    seconds: float = 60.0
    jobs: int = 2
    job_seconds: float = 3600.0
    queued_jobs: int = 1000
    streams: int = 100
    pass_tokens: int = 4096
    lease: float = 15.0
    show_sequences: bool = False

    def __post_init__(self):
        if self.token is None and self.host not in LOOPBACK:
            raise ConfigError(
                f"serve: expected a token to listen on {self.host}, beyond this machine; set SEQDIFF_TOKEN, "
                "or leave the host at 127.0.0.1"
            )
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii() or " " in self.token):
            raise ConfigError(f"serve: expected a token of at least {SHORTEST_TOKEN} ASCII characters without blanks")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"serve: port: expected 0 to 65535, got {self.port}")
        for name in ("active", "jobs", "queued_jobs", "streams", "pass_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"serve: {name}: expected at least 1, got {getattr(self, name)}")
        for name in ("seconds", "job_seconds", "lease"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"serve: {name}: expected more than 0, got {getattr(self, name)}")
        if self.waiting < 0:
            raise ConfigError(f"serve: waiting: expected 0 or more, got {self.waiting}")
        for folder in self.folders():
            if not MODEL_NAME.fullmatch(folder.name):
                raise ConfigError(f"serve: {folder.name!r}: expected a model's name of {MODEL_NAME.pattern}")

    def folders(self) -> list[Path]:
        """The checkpoints in `models`."""
        if self.models is None:
            return []
        if not self.models.is_dir():
            raise ConfigError(f"serve: models: expected a folder of checkpoint folders, got {self.models}")
        return sorted(path.parent for path in self.models.glob("*/config.json"))
