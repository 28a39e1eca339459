"""What is known of a design and how it came about."""

from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 120  # characters of a constraint or wish that a certificate repeats: a list of tokens or a profile can be longer
LAWS = {
    "exact": "the model's {steps}-step law under them",
    "any-order": "the model's any-order law under them, no discretisation",
    "asymptotic": "tends to the model's law with more steps ({steps} here)",
    "heuristic": "heuristic, that of the sampler's own definition",
    "uncorrected": "every step is drawn from the model's law under what must hold, but the steps compose into another law; "
    "particles correct it",
    "vectors": "every step moves by the score under what must hold, worked out as if tokens were independent given x_t; where "
    "they are it tends to the model's law under it, where they are not to another law",
    "gradients": "heuristic, every step moved up a gradient{wish}",
    "particles": "the model's law under what must hold{wish}, as the number of particles grows ({particles} here)",
}


@dataclass(frozen=True)
class Certificate:
    """How a design was obtained, and what was found when it was looked at.

    Attributes:
        law: a key of `LAWS` ("vectors" is the text of "uncorrected" for a process on vectors). Where a process on vectors has
            several particles, it is the law of each; the text says how one was chosen.
        text: the same in words.
        holds: what must hold, as text, and holds by construction; a long one is cut short, the request has it in full.
        violations: what an independent check found broken, as text; nothing, unless seqdiff is wrong.
        guidance: what was wished, as text.
        particles: N; 1: nothing was weighted.
        log_evidence: log Ẑ, the estimated log-probability under the model of what was asked; on vectors of what was wished,
            under the law of a particle; None if nothing was weighted.
        sample_size: effective number of particles at the end.
        seed: of the request.
        model: sha256 of the model's weights, None for a model that was never saved.
    """

    law: str
    text: str
    holds: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    guidance: str = ""
    particles: int = 1
    log_evidence: float | None = None
    sample_size: float | None = None
    seed: int = 0
    model: str | None = None

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def brief(text: str, longest: int = LONGEST) -> str:
    """The text; of a long one both ends, where its kind and its range stand, and how long it is."""
    if len(text) <= longest:
        return text
    middle = f" … ({len(text):,} characters) … "
    end = (longest - len(middle)) // 3
    return f"{text[: longest - len(middle) - end]}{middle}{text[-end:]}"


def words(law: str, steps: int, particles: int = 1, wish: str = "") -> str:
    """The certificate's text. `law` is a key of LAWS."""
    tilt = f" and tilted by {wish}" if wish else ""
    return "pins and bans hold by construction; law: " + LAWS[law].format(steps=steps, particles=particles, wish=tilt)


def one_of(particles: int, wish: str = "") -> str:
    """What follows in the text where the particles are rows of that law, each drawn on its own and weighed when done."""
    how = f"drawn by weight: that law tilted by {wish}, as their number grows" if wish else "all of one weight"
    return f"; one of {particles} such rows, {how}"
