"""Remask and redesign: part of a molecule becomes a gap, the rest is pinned, and the model fills the gap.

    write     the molecule from an atom drawn at random
    cut       a span of tokens that balances its own branches and rings; mostly one that is bonded to the rest by single
              bonds outside rings alone (a side chain, a linker, a ring with what hangs on it), sometimes any (a piece of a
              ring). An empty span is an insertion
    remask    a gap of about the span's length: redesign. Or a part of another molecule with a short gap before or behind
              it, through which it is grafted: graft
    fill      rows of one length go through the network together, whatever their templates: all share one automaton of
              well-formed SMILES, in which the region of a position says which ring labels its template has taken

What the user pinned is never cut: neither its atoms nor the bonds between them, and nothing grows on an atom that is bonded to
pinned ones alone. After filling it is compared, atom by atom and bond by bond, chirality included; what differs is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from constraints.automata.automaton import Automaton
from constraints.automata.chain import Chain
from constraints.condition import Constrained
from domains.campaign.archive import Archive, Candidate, Entry, choose
from domains.smiles.pieces import Piece, Span, canonical, pieces_of, pinned_part, relabelled
from domains.smiles.pins import is_atom
from domains.smiles.tokens import is_ring_label
from domains.smiles.wellformed import well_formed
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError
from seqdiff.samplers.drive import DrawOptions, generate

LABELS, DEPTH = 3, 4  # rings and nested branches that a gap may open by itself
LIMITS = {
    "batch": (1, 4096),
    "graft": (0, 1),
    "fragment": (0, 1),
    "cut": (0, 200),
    "slack": (0, 100),
    "junction": (0, 20),
    "every": (1, 32),
    "steps": (1, 10_000),
    "population": (1, 100_000),
    "crowd": (0, 100_000),
    "max_atoms": (1, 200),
}


@dataclass(frozen=True)
class Moves:
    """How molecules are changed; shares are probabilities.

    Attributes:
        batch: molecules redesigned in a generation.
        graft: share of redesigns that take a part of another molecule in.
        fragment: share of cuts through single bonds outside rings alone.
        cut: tokens that are taken out at most; how many is uniform from 0.
        slack: a gap has up to so many tokens more or fewer than were taken out.
        junction: a graft's gap has 0 to so many tokens.
        every: rows of a generation differ in length by multiples of it, so that more go through the network together; a gap
            is up to half of it longer or shorter for that.
        steps: of the sampler: a gap longer than that is filled several tokens at a time.
        temperature: of the draws.
        population, crowd: parents are the best so many, at most `crowd` of one scaffold (0: of any).
        max_atoms: heavier molecules, in heavy atoms, are not scored; 38 is the largest of ZINC250k.
    """

    batch: int = 40
    graft: float = 0.4
    fragment: float = 0.8
    cut: int = 8
    slack: int = 3
    junction: int = 2
    every: int = 8
    steps: int = 4
    temperature: float = 0.8
    population: int = 1000
    crowd: int = 0
    max_atoms: int = 38

    def __post_init__(self):
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name}: expected {low} to {high}, got {getattr(self, name)}")
        DrawOptions(self.temperature)


@dataclass(frozen=True)
class Remasked:
    """A template: tokens with one gap, None. pins: places in `tokens` of the user's pinned atoms, in their order."""

    tokens: tuple[str | None, ...]
    parents: tuple[int, ...]
    how: str
    pins: tuple[int, ...]


class Redesign:
    """A Proposer of molecules: `start` gives the first ones, `propose` redesigns good ones.

    Args:
        start: the first generation; what is pinned in it stays.
        label: a class of the model, or None.
    """

    def __init__(
        self, checkpoint: Checkpoint, start: Sequence[Candidate], moves: Moves | None = None, label: str | None = None
    ):
        self.checkpoint, self.moves = checkpoint, moves or Moves()
        self.first, self.label = list(start), checkpoint.label_index(label)
        self.tried = self.filled = 0  # rows drawn by the network, and those that were molecules with the pins kept
        self._chain, self._regions = shared_syntax(checkpoint.alphabet)

    def start(self, rng: np.random.Generator) -> list[Candidate]:
        return self.first

    def propose(self, archive: Archive, rng: np.random.Generator) -> list[Candidate]:
        moves = self.moves
        population = archive.population(moves.population)
        parents, donors = choose(population, moves.batch, rng), choose(population, moves.batch, rng)
        offset = int(rng.integers(moves.every))
        templates = []
        for parent, donor in zip(parents, donors, strict=True):
            made = self._graft(parent, donor, rng) if rng.random() < moves.graft else self._redesign(parent, rng)
            if made is not None and (sized := self._sized(made, offset, rng)) is not None:
                templates.append(sized)
        return self._fill(templates, archive, int(rng.integers(2**62)))

    # ── templates ──

    def _redesign(self, parent: Entry, rng: np.random.Generator) -> tuple[Remasked, int] | None:
        """A template and the number of tokens that were taken out."""
        found = self._cut(parent, rng, self.moves.cut)
        if found is None:
            return None
        piece, (i, j) = found
        tokens = relabelled([(token, 0) for token in (*piece.tokens[:i], None, *piece.tokens[j:])], self._labels)
        return None if tokens is None else (self._template(tokens, piece, i, j, 1, (parent.call,), "redesign"), j - i)

    def _graft(self, parent: Entry, donor: Entry, rng: np.random.Generator) -> tuple[Remasked, int] | None:
        found = self._cut(parent, rng, None)
        given = pieces_of(donor.written, (), rng)
        spans = [span for span in given.spans(single=True) if span[1] > span[0]]
        if found is None or not spans:
            return None
        piece, (i, j) = found
        a, b = spans[int(rng.integers(len(spans)))]
        insert: list[tuple[str | None, int]] = [(token, 1) for token in given.tokens[a:b]]
        insert.insert(0 if rng.random() < 0.5 else len(insert), (None, 0))
        kept = [[(token, 0) for token in part] for part in (piece.tokens[:i], piece.tokens[j:])]
        tokens = relabelled([*kept[0], *insert, *kept[1]], self._labels)
        if tokens is None:
            return None
        return self._template(tokens, piece, i, j, len(insert), (parent.call, donor.call), "graft"), 0

    def _template(self, tokens, piece: Piece, i: int, j: int, inserted: int, parents: tuple[int, ...], how: str) -> Remasked:
        pins = tuple(place if place < i else place - (j - i) + inserted for place in piece.pins)
        return Remasked(tuple(tokens), tuple(dict.fromkeys(parents)), how, pins)

    def _cut(self, parent: Entry, rng: np.random.Generator, most: int | None) -> tuple[Piece, Span] | None:
        """The parent written anew and a span of it: of all, or of those nearest to a number of tokens up to `most`."""
        piece = pieces_of(parent.written, parent.pins, rng)
        spans = piece.spans(single=bool(rng.random() < self.moves.fragment))
        if most is None:
            spans = [span for span in spans if span[1] > span[0]]
        if not spans:
            return None
        if most is not None:
            wanted = int(rng.integers(most + 1))
            nearest = min(abs(j - i - wanted) for i, j in spans)
            spans = [(i, j) for i, j in spans if abs(j - i - wanted) == nearest]
        span = spans[int(rng.integers(len(spans)))]
        return None if piece.parts_pins(*span) else (piece, span)

    def _sized(self, made: tuple[Remasked, int], offset: int, rng: np.random.Generator) -> Remasked | None:
        """The gap given a length: near what was taken out, the total ≡ offset modulo `every`; 0 where nothing is put in."""
        template, removed = made
        moves, others, at = self.moves, len(template.tokens) - 1, template.tokens.index(None)
        room = self.checkpoint.max_length - others
        if template.how == "graft":  # one or two passes: not worth sharing
            n = int(rng.integers(moves.junction + 1))
        elif n := int(rng.integers(max(0, removed - moves.slack), removed + moves.slack + 1)):
            fitting = [k for k in range(1, room + 1) if (others + k) % moves.every == offset]
            n = min(fitting, key=lambda k: abs(k - n), default=n)
        if n > room or n + others == 0:
            return None
        tokens = (*template.tokens[:at], *[None] * n, *template.tokens[at + 1 :])
        pins = tuple(place if place < at else place + n - 1 for place in template.pins)
        return Remasked(tokens, template.parents, template.how, pins)

    # ── filling ──

    @property
    def _labels(self) -> list[str]:
        return ring_labels(self.checkpoint.alphabet)

    def _fill(self, templates: list[Remasked], archive: Archive, seed: int) -> list[Candidate]:
        """Molecules in the order of their templates; what is none, or lost a pin, is left out."""
        alphabet, ids = self.checkpoint.alphabet, self.checkpoint.alphabet.ids
        templates = [t for t in templates if self._fits(t)]
        rows = [torch.tensor([alphabet.mask if token is None else ids[token] for token in t.tokens]) for t in templates]
        taken = [self._taken(t) for t in templates]

        def condition(index: torch.Tensor) -> Constrained:
            opened = torch.stack([rows[i] for i in index.tolist()]) == alphabet.mask
            region = torch.where(opened, torch.tensor([taken[i] for i in index.tolist()]).unsqueeze(-1), self._regions)
            return Constrained(len(alphabet), None, self._chain, region)

        with_gap = [i for i, t in enumerate(templates) if None in t.tokens]
        made: dict[int, list[str]] = {i: list(t.tokens) for i, t in enumerate(templates) if None not in t.tokens}  # type: ignore[misc]
        settings = {"label": self.label, "steps": self.moves.steps, "options": DrawOptions(self.moves.temperature)}
        chosen = torch.tensor(with_gap, dtype=torch.int64)
        model = self.checkpoint.denoiser, self.checkpoint.process
        for index, tokens in generate(*model, [rows[i] for i in with_gap], seed, lambda b: condition(chosen[b]), **settings):
            for i, row in zip(chosen[index].tolist(), tokens, strict=True):
                made[i] = alphabet.decode_tokens(row)
        self.tried += len(with_gap)
        out = []
        for i in sorted(made):
            candidate = self._candidate(templates[i], made[i], archive)
            if candidate is not None:
                self.filled += None in templates[i].tokens
                out.append(candidate)
        return out

    def _fits(self, template: Remasked) -> bool:
        """Whether its tokens are the model's, and the gap can be filled: if at all, with carbons."""
        ids, automaton, state = self.checkpoint.alphabet.ids, self._chain.automaton, self._chain.automaton.start
        region = self._taken(template)
        for token in template.tokens:
            if (token or "C") not in ids or state < 0:
                return False
            symbol = automaton.classes[region if token is None else self._regions, ids[token or "C"]]
            state = int(automaton.delta[state, symbol])
        return state >= 0 and bool(automaton.accepting[state])

    def _taken(self, template: Remasked) -> int:
        """How many ring labels the template uses: its gap's are those that follow."""
        used = {token for token in template.tokens if token is not None and is_ring_label(token)}
        return max((self._labels.index(token) + 1 for token in used), default=0)

    def _candidate(self, template: Remasked, tokens: list[str], archive: Archive) -> Candidate | None:
        smiles = "".join(tokens).replace("()", "")  # a branch whose gap was empty
        text = canonical(smiles, self.moves.max_atoms)
        if text is None:
            return None
        number = np.cumsum([is_atom(token) for token in tokens]) - 1
        pins = tuple(int(number[place]) for place in template.pins)
        if pins:
            parent = archive.entries[template.parents[0]]
            if pinned_part(smiles, pins) != pinned_part(parent.written, parent.pins):
                return None
        return Candidate(text, smiles, pins, template.parents, template.how)


@lru_cache(maxsize=4)
def ring_labels(alphabet: Alphabet) -> list[str]:
    return sorted((token for token in alphabet.tokens if is_ring_label(token)), key=lambda token: int(token.strip("%()")))


@lru_cache(maxsize=4)
def shared_syntax(alphabet: Alphabet) -> tuple[Chain, int]:
    """Well-formed SMILES for the gaps of any template, and the number of the region of pinned positions.

    Region k: a free position of a template that uses the first k ring labels; the gap's are the next ones. No dots in gaps.
    """
    labels = ring_labels(alphabet)
    count = min(LABELS, len(labels) - 1)
    base = well_formed(alphabet, count, DEPTH)
    free, pinned = base.classes
    never = free[alphabet.ids[labels[-1]]]  # beyond the first `count`
    rows = []
    for taken in range(len(labels) + 1):
        row = free.copy()
        row[[alphabet.ids[token] for token in labels]] = never
        for place, token in enumerate(labels[taken : taken + count]):
            row[alphabet.ids[token]] = free[alphabet.ids[labels[place]]]
        if "." in alphabet.ids:
            row[alphabet.ids["."]] = never
        rows.append(row)
    automaton = Automaton(np.stack([*rows, pinned]), base.delta, base.start, base.accepting)
    return Chain(automaton), len(rows)
