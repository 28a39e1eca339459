"""Pseudo-perplexity: how well a denoiser tells each residue from all others.

    PPL(x) = exp(−1/L Σ_i log p(x_i | x_{−i}))

L passes over a protein of L residues, many of them in one batch. Each pass asks at one position alone. It is no likelihood of
the sequence, and repeats lower it; the bound that a design carries is one.

Source: Salazar et al., "Masked language model scoring", 2020; Lin et al., ESM-2, 2023.
Shapes: B rows of a batch, L length, V vocabulary.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK, UNKNOWN
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError, TemplateError
from seqdiff.processes.absorbing import Absorbing

BATCH_TOKENS = 8192


def pseudo_perplexity(
    checkpoint: Checkpoint, sequences: Sequence[str], label: str | None = None, batch_tokens: int = BATCH_TOKENS
) -> list[float]:
    """PPL of each sequence over its amino acids, each at least 1; chain breaks and X are seen and not scored.

    Args:
        checkpoint: any masked denoiser of proteins.
        label: class of the model, None for any.
        batch_tokens: tokens of one pass.

    Raises ConfigError for a model of another process, TemplateError for a text that is no protein or too long for the model.
    """
    return [math.exp(-float(log_p.mean())) for log_p in (residue_log_p(checkpoint, x, label, batch_tokens) for x in sequences)]


@torch.no_grad()
def residue_log_p(checkpoint: Checkpoint, sequence: str, label: str | None = None, batch_tokens: int = BATCH_TOKENS) -> Tensor:
    """log p(x_i | x_{−i}) of each amino acid of a sequence, in nats, float64; in the order of the sequence."""
    process, denoiser, alphabet = checkpoint.process, checkpoint.denoiser, checkpoint.alphabet
    if not isinstance(process, Absorbing):
        raise ConfigError(f"pseudo-perplexity: expected a masked model, got one whose process is {type(process).__name__}")
    device = next(checkpoint.network.parameters()).device
    x_0 = torch.tensor(read_sequence(sequence, alphabet, checkpoint.max_length), device=device)
    amino = torch.tensor([alphabet.ids[letter] for letter in AMINO_ACIDS], device=device)
    scored = torch.isin(x_0, amino).nonzero().squeeze(-1)
    if not len(scored):
        raise TemplateError("sequence: expected at least one of the twenty amino acids to score, got none")
    rate = torch.full((), 1 / len(x_0), dtype=torch.float64, device=device)
    t, index, found = process.schedule.inverse(rate), checkpoint.label_index(label), []
    for at in scored.split(max(1, batch_tokens // len(x_0))):
        x_t = x_0.repeat(len(at), 1).scatter(1, at.unsqueeze(1), process.mask)
        labels = None if index is None else torch.full((len(at),), index, device=device)
        logits = denoiser(x_t, t.expand(len(at)), labels, None, at.unsqueeze(1))
        found.append(logits[:, 0].double().log_softmax(-1).gather(1, x_0[at].unsqueeze(1)).squeeze(1))
    return torch.cat(found)


def read_sequence(text: str, alphabet: Alphabet, longest: int) -> list[int]:
    """Ids of a protein: amino acids, X, and `/` between chains; spaces mean nothing.

    Raises TemplateError with the place marked: an empty text, lower case, any other letter, more than `longest` tokens.
    """
    known = {letter for letter in AMINO_ACIDS + UNKNOWN + BREAK if letter in alphabet.ids}
    for place, letter in enumerate(text):
        if letter.isspace() or letter in known:
            continue
        hint = f"write {letter.upper()}" if letter.upper() in known else "replace it, or write X for an unknown residue"
        around = text[max(0, place - 30) : place + 30].replace("\n", " ")
        raise TemplateError(
            f"sequence, character {place + 1}: {letter!r} is none of the letters of a protein; {hint}\n"
            f"  {around}\n  {' ' * min(place, 30)}^"
        )
    letters = "".join(text.split())
    if not letters.strip(BREAK):
        raise TemplateError("sequence: expected amino acids in one letter, got an empty text")
    if len(letters) > longest:
        raise TemplateError(
            f"sequence: {len(letters):,} letters, but the model's rows have at most {longest:,}; take a domain of it, or a "
            "model of longer rows"
        )
    return alphabet.encode(list(letters))
