"""Remask and redesign: parts of molecules become gaps, the rest is pinned, and the model fills the gaps.

    parents     the better, the likelier (`domains.campaign.archive.choose`)
    move        one of `domains.smiles.moves`, as often as it has paid (`domains.campaign.shares`); some take a part of a
                second molecule in
    fill        rows of one length go through the network together, whatever their templates: all share one automaton of
                well-formed SMILES, in which the region of a position says which ring labels its template has taken
    screen      of the molecules that are new, those that a surrogate of the goal hopes most of are scored
                (`domains.campaign.surrogate`)

What the user pinned is compared in each child with its parent, atom by atom and bond by bond, chirality included; what differs
is dropped, and so is what grew on a pinned atom that was bonded to pinned ones alone.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from constraints.condition import Constrained
from constraints.token_sets import TokenSets
from domains.campaign.archive import Archive, Candidate, choose
from domains.campaign.shares import shares
from domains.campaign.surrogate import Surrogate
from domains.smiles.gaps import Once, ring_labels, shared_syntax
from domains.smiles.moves import MOVES, Moves, Remasked, Templates
from domains.smiles.pieces import attached, canonical, flat, pinned_part, scaffold
from domains.smiles.pins import is_atom
from domains.smiles.tokens import is_ring_label
from seqdiff.checkpoint import Checkpoint
from seqdiff.samplers.drive import DrawOptions, generate


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
        self._labels = ring_labels(checkpoint.alphabet)
        self._chain, self._regions = shared_syntax(checkpoint.alphabet)
        V = len(checkpoint.alphabet)
        self._others = torch.diag(torch.full((V + 1,), -torch.inf, dtype=torch.float64))[:, :V]  # set v: all but v; set V: all
        self._denoiser = Once(checkpoint.denoiser)
        self._surrogate = Surrogate(environments)

    def start(self, rng: np.random.Generator) -> list[Candidate]:
        return self.first

    def propose(self, archive: Archive, rng: np.random.Generator) -> list[Candidate]:
        moves = self.moves
        population = archive.population(moves.population)
        n = -(-moves.batch * moves.pool // moves.draws)
        kinds = rng.choice(list(MOVES), n, p=shares(archive, list(MOVES))).tolist()
        pairs = list(zip(*(choose(population, n * moves.draws, rng) for _ in range(2)), strict=True))
        make = Templates(moves, self._labels, int(rng.integers(moves.every))).make
        templates = []
        for k, how in enumerate(kinds):
            for parent, donor in pairs[
                k * moves.draws : (k + 1) * moves.draws
            ]:  # of a template with gaps as many draws, or as many templates without
                made = make(how, parent, donor, rng)
                if made is not None and self._fits(made):
                    templates.append(made)
                    if None in made.tokens:
                        break
        filled = self._fill(templates, archive, int(rng.integers(2**62)))
        new = list({c.text: c for c in reversed(filled) if c.text not in archive}.values())[::-1]
        if moves.pool == 1 or len(new) <= moves.batch:
            return new[: moves.batch]
        chosen = self._surrogate.choose(archive, [c.text for c in new], moves.batch, rng)
        return [new[i] for i in chosen]

    def _fill(self, templates: Sequence[Remasked], archive: Archive, seed: int) -> list[Candidate]:
        """Molecules in the order of their templates; what is none, or lost a pin, is left out."""
        alphabet, ids = self.checkpoint.alphabet, self.checkpoint.alphabet.ids
        drawn = [(t, torch.tensor([alphabet.mask if token is None else ids[token] for token in t.tokens])) for t in templates]
        drawn = [row for row in drawn for _ in range(self.moves.draws if None in row[0].tokens else 1)]
        taken = torch.tensor([self._taken(t) for t, _ in drawn], dtype=torch.int64)
        gap = torch.tensor([i for i, (t, _) in enumerate(drawn) if None in t.tokens], dtype=torch.int64)
        made: dict[int, list[str]] = {i: list(t.tokens) for i, (t, _) in enumerate(drawn) if None not in t.tokens}  # type: ignore[misc]

        def condition(batch: torch.Tensor) -> Constrained:
            index = gap[batch]
            opened = torch.stack([drawn[i][1] for i in index.tolist()]) == alphabet.mask
            region = torch.where(opened, taken[index].unsqueeze(-1), self._regions)
            other = [[ids.get(token, len(alphabet)) for token in drawn[i][0].other] for i in index.tolist()]
            return Constrained(len(alphabet), TokenSets(self._others, torch.tensor(other)), self._chain, region)

        how = {"label": self.label, "steps": self.moves.steps, "options": DrawOptions(self.moves.temperature)}
        rows = [drawn[i][1] for i in gap.tolist()]
        for batch, tokens in generate(self._denoiser, self.checkpoint.process, rows, seed, condition, batch_size=256, **how):
            for i, row in zip(gap[batch].tolist(), tokens, strict=True):
                made[i] = alphabet.decode_tokens(row)
        self.tried += len(gap)
        out = []
        for i in sorted(made):
            candidate = self._candidate(drawn[i][0], made[i], archive)
            if candidate is not None:
                self.filled += None in drawn[i][0].tokens
                out.append(candidate)
        return out

    def _fits(self, template: Remasked) -> bool:
        """Whether its tokens are the model's and not too many, and its gaps can be filled: if at all, with carbons."""
        if len(template.tokens) > self.checkpoint.max_length:
            return False
        ids, automaton, state = self.checkpoint.alphabet.ids, self._chain.automaton, self._chain.automaton.start
        region = self._taken(template)
        for token in template.tokens:
            if (token or "C") not in ids or state < 0:
                return False
            symbol = automaton.classes[region if token is None else self._regions, ids[token or "C"]]
            state = int(automaton.delta[state, symbol])
        return state >= 0 and bool(automaton.accepting[state])

    def _taken(self, template: Remasked) -> int:
        """How many ring labels the template uses: its gaps' are those that follow."""
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
            if not attached(smiles, pins) <= attached(parent.written, parent.pins):
                return None
        return Candidate(text, smiles, pins, template.parents, template.how)


def niches(moves: Moves) -> list[tuple[Callable[[str], str], int]]:
    """What parents are crowded by: one of each molecule whatever its stereo, and so many of each scaffold."""
    return [(flat, 1), *([(scaffold, moves.crowd)] if moves.crowd else [])]


def environments(smiles: str) -> Mapping[int, int]:
    """Counts of Morgan environments of radius 0 to 2: what the surrogate knows of a molecule."""
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    return (
        rdFingerprintGenerator.GetMorganGenerator(radius=2)
        .GetSparseCountFingerprint(Chem.MolFromSmiles(smiles))
        .GetNonzeroElements()
    )
