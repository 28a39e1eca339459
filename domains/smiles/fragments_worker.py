"""What a user drew or typed meets RDKit in a child process that can be killed: limits on seconds and memory, never a hang.

Seconds are the child's own of the processor, so that a busy machine refuses nobody.
"""

from typing import Any

from constraints.compilation.child import Worker
from seqdiff.errors import TemplateError

SECONDS, MEGABYTES = 2.0, 512
_worker = Worker("rdkit.Chem", "domains.smiles.tasks", "domains.smiles.pins")


def limited(function: str, *arguments: Any, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Any:
    """function(*arguments), given as "module:name", within limits; arguments and answer are what JSON can hold.

    Raises TemplateError: the function's own, or that it took too long, needed too much memory or crashed.
    """
    answer, _ = _worker.ask(function, arguments, {}, seconds, megabytes)
    if "refused" in answer:
        raise TemplateError(answer["refused"])
    if "trouble" in answer:
        raise TemplateError(f"molecule: reading it {answer['trouble']}; draw something smaller")
    return answer["value"]


def close() -> None:
    """End the child, if there is one."""
    _worker.close()
