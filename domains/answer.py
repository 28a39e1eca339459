"""What comes of a request: `Design`s, and how many were asked for, made, abstained from and lost."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from constraints.certificate import Certificate
from domains.spec import DesignSpec


@dataclass(frozen=True)
class Design:
    """One design.

    Attributes:
        sequence: as designed; its pinned tokens are the template's.
        canonical: the domain's normal form, None if invalid.
        valid, reason: whether the domain accepts it, and why not.
        pins_kept: whether what was pinned stands unchanged (for molecules, on the graph).
        pinned_atoms: for pictures, indices of pinned atoms in the order of writing.
        metrics: figures by name; `bound` is an upper bound on −log p of the free tokens given the pins, in nats,
            and `bound_error` its standard error.
        certificate: how the design was obtained, and what an independent check found.
        index: its number in the request, which is its place in the noise.
        template: the template it was made from, None where nothing is pinned.
        fields: what a text is told before it, by name; of a molecule or a protein nothing.
    """

    sequence: str
    canonical: str | None
    valid: bool
    reason: str
    pins_kept: bool
    pinned_atoms: tuple[int, ...]
    metrics: dict[str, float | bool | None]
    certificate: Certificate
    index: int
    template: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Designs:
    """The answer: designs in the order of the request, the spec, seconds by phase, and whether it was finished.

    Attributes:
        abstained: places in the request for which no particle met what was asked: there is no design then.
        lost: place in the request → why the design that was made there is not returned.
    """

    designs: list[Design]
    spec: DesignSpec
    timing: dict[str, float] = field(default_factory=dict)
    complete: bool = True
    abstained: list[int] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, int]:
        """Counts, each with its own denominator: asked for, returned, and of the returned those that …"""
        made = self.designs
        return {
            "asked": self.spec.n,
            "returned": len(made),
            "abstained": len(self.abstained),
            "lost": len(self.lost),
            "satisfied": sum(not item.certificate.violations for item in made),
            "valid": sum(item.valid for item in made),
            "valid_and_pins_kept": sum(item.valid and item.pins_kept for item in made),
            "distinct": len({item.canonical for item in made if item.valid}),
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract of every front end: designs, spec, timing, complete, the places without a design, and counts."""
        return {
            "designs": [item.to_dict() for item in self.designs],
            "spec": self.spec.to_dict(),
            "timing": self.timing,
            "complete": self.complete,
            "abstained": self.abstained,
            "lost": self.lost,
            "summary": self.summary,
        }
