"""How seven figures of a reference are distributed, small enough to stand in a text file beside a model."""

import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from domains.smiles.properties import METRICS, describe_many
from seqdiff.errors import CheckpointError, ConfigError

COUNTED = ("rings", "heavy_atoms")  # whole numbers: a bin for each; the others get bins of equal mass
FORMAT = "seqdiff-molecule-statistics-1"

LEVELS = (np.arange(101) + 0.5) / 101  # mid-points, so that the mean of |difference of quantiles| is an integral
BINS = 20
FLOOR = 1e-3  # share of the reference mixed into a sample's histogram: keeps the divergence finite on empty bins
LEAST = 100  # molecules that make a reference


@dataclass(frozen=True)
class Law:
    """How one descriptor is distributed.

    Attributes:
        mean, std: moments, in the descriptor's unit; std is that of the population.
        quantiles: (101,) at LEVELS, not decreasing.
        edges: (bins − 1,) increasing; bin i holds edges[i − 1] < x ≤ edges[i], the first and the last are open.
        share: (bins,) of the molecules, summing to 1.
    """

    mean: float
    std: float
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    share: tuple[float, ...]

    @classmethod
    def of(cls, values: np.ndarray, counted: bool) -> "Law":
        """Of (n,) values: a bin for each whole number from the 1st to the 99th percentile, else BINS of equal mass."""
        if counted:
            low, high = np.quantile(values, (0.01, 0.99), method="nearest")
            edges = np.arange(low, high) + 0.5
        else:
            # Equal mass leaves no bin empty by chance; values that many molecules share (a TPSA of 0) merge theirs.
            edges = np.unique([_rounded(edge) for edge in np.quantile(values, np.arange(1, BINS) / BINS)])
        spread = values.std() if np.ptp(values) else 0.0  # of equal values std leaves a rounding error
        return cls(
            mean=_rounded(values.mean()),
            std=_rounded(spread),
            quantiles=tuple(map(_rounded, np.quantile(values, LEVELS))),
            edges=tuple(edges.tolist()),
            share=tuple(map(_rounded, _histogram(values, edges))),
        )

    def wasserstein(self, values: np.ndarray) -> float | None:
        """Wasserstein-1 distance of (n,) values, ∫₀¹ |F⁻¹(u) − G⁻¹(u)| du, in standard deviations of this law.

        The integral is the mean over 101 levels. None if this law has no spread.
        """
        if self.std == 0:
            return None
        return float(np.abs(np.quantile(values, LEVELS) - np.array(self.quantiles)).mean() / self.std)

    def kl(self, values: np.ndarray) -> float:
        """KL(P ‖ Q) = Σ p ln(p / q) in nats: P this law, Q the histogram of (n,) values in the same bins.

        q = (1 − FLOOR) · share + FLOOR · p, so a bin without a sample costs p ln 1000.
        """
        p = np.array(self.share)
        q = (1 - FLOOR) * _histogram(values, np.array(self.edges)) + FLOOR * p
        there = p > 0
        return max(0.0, float((p[there] * np.log(p[there] / q[there])).sum()))


@dataclass(frozen=True)
class Reference:
    """The distribution that generated molecules are held against: statistics alone, no molecule can be read from them.

    A model with classes has one reference per class.

    Attributes:
        label: the class, or any name.
        n: valid molecules it was taken from.
        laws: METRICS name → Law.
    """

    label: str
    n: int
    laws: dict[str, Law]

    @classmethod
    def from_smiles(cls, smiles: list[str], label: str = "") -> "Reference":
        """Statistics of the valid ones. Raises ConfigError for fewer than 100 valid ones."""
        metrics = [molecule.metrics for molecule in describe_many(smiles) if molecule.valid]
        if len(metrics) < LEAST:
            raise ConfigError(
                f"reference molecules: expected at least {LEAST} valid SMILES, got {len(metrics)} of {len(smiles)}"
            )
        columns = {name: np.array([m[name] for m in metrics]) for name in METRICS}
        return cls(label, len(metrics), {name: Law.of(values, name in COUNTED) for name, values in columns.items()})

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Reference":
        """Inverse of `to_json`. Raises CheckpointError that names the part that is not as expected."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(f"reference statistics: expected JSON, got something else ({error})") from None
        kind = data.get("format") if isinstance(data, dict) else type(data).__name__
        if kind != FORMAT:
            raise CheckpointError(f"reference statistics: expected format {FORMAT!r}, got {kind!r}")
        laws, n = data.get("laws"), data.get("n")
        if not isinstance(laws, dict) or set(laws) != set(METRICS):
            got = ", ".join(laws) if isinstance(laws, dict) else type(laws).__name__
            raise CheckpointError(f"reference statistics: laws: expected {', '.join(METRICS)}, got {got}")
        if not isinstance(n, int) or not isinstance(data.get("label"), str):
            raise CheckpointError(
                f"reference statistics: expected a text label and a whole number n, got {data.get('label')!r} and {n!r}"
            )
        return cls(data["label"], n, {name: _law(name, laws[name]) for name in METRICS})


def _law(name: str, table: object) -> Law:
    try:
        law = Law(**{k: tuple(map(float, v)) if isinstance(v, list) else float(v) for k, v in table.items()})  # type: ignore[attr-defined]
        edges, share = np.array(law.edges), np.array(law.share)
        ordered = not (np.diff(law.quantiles) < 0).any()
        fits = {
            "finite numbers": all(map(math.isfinite, (law.mean, law.std, *law.quantiles, *law.edges, *law.share))),
            "a std of at least 0": law.std >= 0,
            f"{len(LEVELS)} quantiles in order": len(law.quantiles) == len(LEVELS) and ordered,
            "edges in order": bool((np.diff(edges) > 0).all()),
            "one share more than edges, summing to 1": len(share) == len(edges) + 1 and abs(share.sum() - 1) < 1e-3,
        }
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"reference statistics: {name}: expected the fields of a law, got others ({error})") from None
    if failed := [what for what, holds in fits.items() if not holds]:
        raise CheckpointError(f"reference statistics: {name}: expected {' and '.join(failed)}; the text is damaged")
    return law


def _rounded(value: float) -> float:
    """Six significant digits: the text stays short, and reading it gives the same number."""
    return float(f"{value:.6g}")


def _histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(bins,) shares of (n,) values."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) / len(values)
