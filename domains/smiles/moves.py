"""Ways to change a molecule: a template in which parts are pinned and the rest is left to the model, or to nobody.

    redesign    a span of up to `cut` tokens becomes a gap of about its length; mostly a side chain, a linker or a ring with
                what hangs on it (bonded to the rest by single bonds outside rings alone), sometimes any
    tweak       a span of 0 to 2 tokens becomes a gap of 0 to 3: an atom or a bond more, fewer or other
    renoise     one to `noise` tokens of atoms and bonds, anywhere, are masked: noise of the diffusion process, denoised again
    graft       a span becomes a part of another molecule, with a gap of up to `junction` tokens where it is joined
    cross       what hangs on the rest by one bond becomes what hangs on the rest of another molecule by one, with such a gap
    edit        a random edit of the graph (`domains.smiles.edits`): an atom, a bond or a ring more, fewer or other; there is no
                gap, and so the model has no say in what comes: it reaches what the model finds unlikely

A tweak or a renoise of half of the molecules starts from aromatic rings written with double bonds: benzene less an atom
is then cyclopentadiene, and not something that cannot be read.

What the user pinned is never cut: neither its atoms nor the bonds between them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from domains.campaign.archive import Entry
from domains.smiles.edits import edited
from domains.smiles.pieces import Piece, Span, pieces_of, relabelled
from domains.smiles.pins import is_atom
from domains.smiles.tokens import tokenize
from domains.smiles.wellformed import kind_of
from seqdiff.errors import ConfigError
from seqdiff.samplers.drive import DrawOptions

LIMITS = {
    "batch": (1, 4096),
    "pool": (1, 100),
    "draws": (1, 100),
    "every": (1, 32),
    "fragment": (0, 1),
    "kekule": (0, 1),
    "cut": (0, 200),
    "slack": (0, 100),
    "junction": (0, 20),
    "noise": (1, 20),
    "steps": (1, 10_000),
    "population": (1, 100_000),
    "crowd": (0, 100_000),
    "max_atoms": (1, 200),
}
# tokens with whose ring labels they are; a hole (None) with the place of the token that must not come again, or −1
Tokens = list[tuple[str | None, int]]


@dataclass(frozen=True)
class Moves:
    """How molecules are changed.

    Attributes:
        batch: molecules scored in a generation.
        pool: molecules proposed for each one that is scored: a surrogate of the goal chooses; 1: none does.
        draws: rows that the model draws of each template.
        every: gaps are sized so that the rows of a generation differ in length by multiples of it, where that can be: more of
            them go through the network together.
        fragment: share of cuts through single bonds outside rings alone.
        kekule: share of small changes (tweak, renoise) for which aromatic rings are written with double bonds.
        cut: tokens that a redesign takes out at most; how many is uniform from 0.
        slack: its gap has up to so many tokens more or fewer.
        junction: a graft's gap has 0 to so many tokens.
        noise: tokens that are masked at once at most.
        steps: of the sampler: a gap longer than that is filled several tokens at a time.
        temperature: of the draws.
        population, crowd: parents are the best so many, at most `crowd` of one scaffold (0: of any)
            and one of each molecule, whatever its stereo.
        max_atoms: heavier molecules, in heavy atoms, are not scored; 38 is the largest of ZINC250k.
    """

    batch: int = 20
    pool: int = 6
    draws: int = 3
    every: int = 3
    fragment: float = 0.8
    kekule: float = 0.5
    cut: int = 8
    slack: int = 3
    junction: int = 0
    noise: int = 3
    steps: int = 2
    temperature: float = 1.0
    population: int = 1000
    crowd: int = 10
    max_atoms: int = 38

    def __post_init__(self):
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name}: expected {low} to {high}, got {getattr(self, name)}")
        DrawOptions(self.temperature)


@dataclass(frozen=True)
class Remasked:
    """A template.

    Attributes:
        tokens: None where the model is to draw.
        other: a token that it is not to draw there, or None.
        pins: places of the user's pinned atoms, in their order.
    """

    tokens: tuple[str | None, ...]
    parents: tuple[int, ...]
    how: str
    pins: tuple[int, ...]
    other: tuple[str | None, ...]


@dataclass(frozen=True)
class Templates:
    """Makes templates of one generation.

    Attributes:
        labels: ring labels that there are, the first to be taken first.
        offset: of the lengths of rows with gaps, modulo `moves.every`.
    """

    moves: Moves
    labels: Sequence[str]
    offset: int = 0

    def make(self, how: str, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        """One move, or None where it found no place."""
        return MOVES[how](self, parent, donor, rng)

    def redesign(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        removed, single = int(rng.integers(self.moves.cut + 1)), bool(rng.random() < self.moves.fragment)
        piece = pieces_of(parent.written, parent.pins, rng)
        return self._regap("redesign", parent, piece, removed, self.moves.slack, single, rng)

    def tweak(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        return self._regap("tweak", parent, self._small(parent, rng), int(rng.integers(3)), 1, False, rng)

    def renoise(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        piece = self._small(parent, rng)
        free = [k for k, token in enumerate(piece.tokens) if kind_of(token) in ("atom", "bond") and k not in piece.pins]
        if not free:
            return None
        count = min(len(free), int(rng.integers(1, self.moves.noise + 1)))
        places = rng.choice(free, count, replace=False).tolist()
        sizes = [self._gap(range(3), len(piece.tokens) - 1, rng), *[1] * (count - 1)]
        edits = [((k, k + 1), _holes(size, k)) for k, size in zip(places, sizes, strict=True)]
        return self._edited("renoise", piece, edits, (parent,))

    def graft(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        piece, given = pieces_of(parent.written, parent.pins, rng), pieces_of(donor.written, (), rng)
        spans = _filled(piece.spans(single=bool(rng.random() < self.moves.fragment)))
        return self._joined("graft", (piece, spans, parent), (given, _filled(given.spans(single=True)), donor), rng)

    def cross(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        piece, given = pieces_of(parent.written, parent.pins, rng), pieces_of(donor.written, (), rng)
        return self._joined("cross", (piece, piece.hanging(), parent), (given, given.hanging(), donor), rng)

    def edit(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> Remasked | None:
        made = edited(parent.written, rng, parent.pins)
        if made is None:
            return None
        tokens = tokenize(made[0])
        atoms = [place for place, token in enumerate(tokens) if is_atom(token)]
        return Remasked(tuple(tokens), (parent.call,), "edit", tuple(atoms[pin] for pin in made[1]), (None,) * len(tokens))

    def _small(self, parent: Entry, rng: np.random.Generator) -> Piece:
        """As a small change wants it written: with aromatic rings as such or not, for each leads to what the other cannot."""
        return pieces_of(parent.written, parent.pins, rng, kekule=bool(rng.random() < self.moves.kekule))

    def _regap(
        self, how: str, parent: Entry, piece: Piece, removed: int, slack: int, single: bool, rng: np.random.Generator
    ) -> Remasked | None:
        """A span of about `removed` tokens taken out, a gap of as many, `slack` more or fewer, put in."""
        spans = piece.spans(single)
        nearest = min((abs(j - i - removed) for i, j in spans), default=0)
        span = _any([(i, j) for i, j in spans if abs(j - i - removed) == nearest], rng)
        if span is None or piece.parts_pins(*span):
            return None
        size = span[1] - span[0]
        sizes = range(max(0, size - slack), size + slack + 1) if size else range(1, slack + 2)
        gap = self._gap(sizes, len(piece.tokens) - size, rng)
        return self._edited(how, piece, [(span, _holes(gap, span[0] if size == 1 else -1))], (parent,))

    def _joined(
        self,
        how: str,
        kept: tuple[Piece, Sequence[Span], Entry],
        given: tuple[Piece, Sequence[Span], Entry],
        rng: np.random.Generator,
    ) -> Remasked | None:
        """One of the spans of `kept` replaced by one of the spans of `given`, a short gap before or behind it."""
        span, taken = _any(kept[1], rng), _any(given[1], rng)
        if span is None or taken is None or kept[0].parts_pins(*span):
            return None
        insert: Tokens = [(token, 1) for token in given[0].tokens[slice(*taken)]]
        others = len(kept[0].tokens) - (span[1] - span[0]) + len(insert)
        gap = _holes(self._gap(range(self.moves.junction + 1), others, rng))
        insert = gap + insert if rng.random() < 0.5 else insert + gap
        return self._edited(how, kept[0], [(span, insert)], (kept[2], given[2]))

    def _gap(self, sizes: Sequence[int], others: int, rng: np.random.Generator) -> int:
        """One of the sizes, such that the row's length is offset modulo `every` if one of them makes it so."""
        fitting = [size for size in sizes if (others + size - self.offset) % self.moves.every == 0]
        return int(rng.choice(fitting or list(sizes)))

    def _edited(
        self, how: str, piece: Piece, edits: Sequence[tuple[Span, Tokens]], parents: Sequence[Entry]
    ) -> Remasked | None:
        """The piece with spans replaced; None where ring labels run out."""
        out: list[tuple[str | None, int, int]] = []  # token, owner, place
        at = 0
        for (i, j), insert in sorted(edits, key=lambda edit: edit[0]):
            out += [(piece.tokens[k], 0, k) for k in range(at, i)] + [(token, owner, -1) for token, owner in insert]
            at = j
        out += [(piece.tokens[k], 0, k) for k in range(at, len(piece.tokens))]
        tokens = relabelled([(token, owner) for token, owner, _ in out], self.labels)
        if not tokens:
            return None
        where = {k: place for place, (_, _, k) in enumerate(out)}
        calls = tuple(dict.fromkeys(parent.call for parent in parents))
        other = tuple(piece.tokens[owner] if token is None and owner >= 0 else None for token, owner, _ in out)
        return Remasked(tuple(tokens), calls, how, tuple(where[k] for k in piece.pins), other)


MOVES: dict[str, Callable[[Templates, Entry, Entry, np.random.Generator], Remasked | None]] = {
    "redesign": Templates.redesign,
    "tweak": Templates.tweak,
    "renoise": Templates.renoise,
    "graft": Templates.graft,
    "cross": Templates.cross,
    "edit": Templates.edit,
}


def _any(spans: Sequence[Span], rng: np.random.Generator) -> Span | None:
    return spans[int(rng.integers(len(spans)))] if spans else None


def _filled(spans: Sequence[Span]) -> list[Span]:
    return [(i, j) for i, j in spans if j > i]


def _holes(size: int, instead: int = -1) -> Tokens:
    """A gap. instead: the place of the one token that it stands for, and that would come again if it could."""
    return [(None, instead if size == 1 else -1)] * size
