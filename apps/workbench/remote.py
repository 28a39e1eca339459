"""Runs made by a running service (`seqdiff serve`) in place of this process: the same request, and so the same designs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.workbench.maker import Failed
from apps.workbench.store import design_of

if TYPE_CHECKING:
    from apps.client import Client
    from domains.answer import Design

Watch = Callable[[list[str | None], int], None]
LOST = "The service cannot be reached. See whether it runs, and run this again."


@dataclass(frozen=True)
class Made:
    """What a run came to: designs, and place → why there is none."""

    designs: "list[Design]"
    missing: dict[int, str]


class Remote:
    """A service.

    Args:
        client: `apps.client.Client`, made when it is needed.
    """

    def __init__(self, client: "Callable[[], Client]"):
        self._client = client

    @classmethod
    def at(cls, url: str, token: str | None) -> "Remote":
        def client():
            from apps.client import Client

            return Client(url, token, retries=2)

        return cls(client)

    def models(self) -> list[str]:
        """The names that it offers. Raises Failed."""
        with self._asking() as client:
            return [str(row["id"]) for row in client.models()]

    def make(self, table: dict[str, Any], key: str, taken: Callable[[str], None], watch: Watch) -> Made:
        """Submit a request as a job and follow it to its end. Raises Failed, and what `watch` raises.

        Args:
            key: with which it is submitted once, however often it is sent.
            taken: is given the job's id once there is one.
            watch: is given a row of the request after each pass, None where it is open, and its place; what it raises
                cancels the job.
        """
        with self._asking() as client:
            job = client.submit(key=key, **table)
            taken(job.id)
            row: dict[int, str | None] = {}
            shown: tuple[int, int] | None = None
            try:
                for event in client.events(job.id):
                    changed = {(c["index"], c["particle"]): c["positions"] for c in event.data.get("changed", ())}
                    if changed and (shown is None or begins(changed)):
                        shown, row = min(changed), {}
                    if shown is not None:
                        row |= {int(place): token for place, token in changed.get(shown, {}).items()}
                        watch([row[place] for place in sorted(row)], shown[0])
            except BaseException:
                self.cancel(job.id)
                raise
            job = client.job(job.id)
        if job.state != "done" or job.result is None:
            raise Failed(job.error or f"The service's job is {job.state}.")
        none = f"no attempt met {' and '.join(table.get('wishes') or ['what must hold'])}"
        missing = dict.fromkeys(map(int, job.result["abstained"]), none)
        missing |= {int(place): why for place, why in job.result["lost"].items()}
        return Made([design_of(item) for item in job.result["designs"]], missing)

    def cancel(self, job: str) -> None:
        """End a job before its next pass; one that has ended, or cannot be reached, is left."""
        from apps.client import ServiceError

        try:
            with self._asking() as client:
                client.cancel(job)
        except (Failed, ServiceError):
            pass

    def _asking(self) -> "_Asking":
        return _Asking(self._client)


def begins(changed: dict[tuple[int, int], dict[str, Any]]) -> bool:
    """Whether an event holds whole rows: a batch begins."""
    return all(list(positions) == [str(i) for i in range(len(positions))] for positions in changed.values())


class _Asking:
    """A client for one exchange; what the service or the way to it says becomes Failed."""

    def __init__(self, make: "Callable[[], Client]"):
        self.client = make()

    def __enter__(self) -> "Client":
        return self.client

    def __exit__(self, kind, error, trace) -> None:
        self.client.close()
        if error is None or not isinstance(error, Exception):
            return
        import httpx

        from apps.client import ServiceError

        if isinstance(error, httpx.TransportError):
            raise Failed(LOST) from error
        if isinstance(error, ServiceError):
            raise Failed(error.message) from error
