"""Tags and dependency scores of sentences: word forms and affixes, a bidirectional LSTM, a biaffine head.

Shapes: B sentences of n words each, K forms of a word, d width; head 0 is the root.
After Dozat and Manning, "Deep Biaffine Attention for Neural Dependency Parsing", 2017.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

LEAST = {"w": 2}  # sentences' words that have a form, for it to be known; of affixes 6
WRITTEN = {"(": "-LRB-", ")": "-RRB-", "“": '"', "”": '"', "’": "'", "‘": "'", "–": "-", "—": "-"}


def forms(word: str) -> list[str]:
    """What is known of a word: itself in small letters, its first and last letters, its shape. The first is the word."""
    plain = WRITTEN.get(word, word).replace("’", "'")
    small = plain.lower()
    shape = "".join("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in plain[:12])
    shape = "".join(c for i, c in enumerate(shape) if i < 2 or shape[i - 2 : i] != 2 * c)  # Xxxxxx is Xxx
    return [
        f"w:{small}",
        *(f"p:{small[:k]}" for k in (1, 2, 3)),
        *(f"s:{small[-k:]}" for k in (1, 2, 3, 4)),
        f"shape:{shape}",
    ]


def known_forms(sentences: Iterable[tuple[str, ...]]) -> list[str]:
    """The forms that are frequent enough, in order."""
    counts = Counter(form for words in sentences for word in words for form in dict.fromkeys(forms(word)))
    return sorted(form for form, n in counts.items() if n >= LEAST.get(form.partition(":")[0], 6))


@dataclass(frozen=True)
class NetworkConfig:
    """Attributes:
    forms: known forms. upos, penn, relations: number of classes.
    width: of embeddings; hidden: of the LSTM in either direction; arc, label: of the biaffine heads.
    """

    forms: int
    upos: int
    penn: int
    relations: int
    width: int = 72
    hidden: int = 128
    depth: int = 2
    arc: int = 128
    label: int = 64
    dropout: float = 0.33


class Scores(NamedTuple):
    """Logits: of upos (B, n, U), of Penn's tags (B, n, P), of heads (B, n, n + 1), and what relations are read from."""

    upos: Tensor
    penn: Tensor
    heads: Tensor
    dependents: Tensor  # (B, n, label + 1)
    governors: Tensor  # (B, n + 1, label + 1)


class Network(nn.Module):
    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        c, d = config, 2 * config.hidden
        self.forms = nn.EmbeddingBag(c.forms + 1, c.width, mode="sum", padding_idx=0)
        self.norm = nn.LayerNorm(c.width)
        sizes = [c.width] + [d] * (c.depth - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, c.hidden, bidirectional=True, batch_first=True) for size in sizes)
        self.root = nn.Parameter(torch.zeros(d))
        self.tags = nn.Linear(d, c.upos + c.penn)
        self.dependent, self.governor = nn.Linear(d, c.arc), nn.Linear(d, c.arc)
        self.label_dependent, self.label_governor = nn.Linear(d, c.label), nn.Linear(d, c.label)
        self.arcs = nn.Parameter(torch.zeros(c.arc + 1, c.arc))
        self.labels = nn.Parameter(torch.zeros(c.relations, c.label + 1, c.label + 1))
        nn.init.normal_(self.forms.weight, std=0.3)

    def forward(self, words: Tensor, generator: torch.Generator | None = None) -> Scores:
        """words: (B, n, K) ids of forms, 0 for one that is not known. generator: of dropout, in training."""
        B, n, K = words.shape
        drop = Dropout(self.config.dropout, generator)
        if generator is not None:  # a known word is read now and then as one that is not
            words = words.clone()
            words[..., 0] *= (torch.rand(B, n, generator=generator) > 0.15).long()
        x = drop(self.norm(self.forms(words.view(B * n, K)).view(B, n, -1)))
        for layer in self.layers:
            x = drop(layer(x)[0])
        upos, penn = self.tags(x).split([self.config.upos, self.config.penn], -1)
        with_root = torch.cat([self.root.expand(B, 1, -1).to(x.dtype), x], 1)
        act = nn.functional.leaky_relu
        dependent, governor = drop(act(self.dependent(x), 0.1)), drop(act(self.governor(with_root), 0.1))
        heads = (_one(dependent) @ self.arcs) @ governor.transpose(1, 2)  # s_ij = [h_i; 1]ᵀ U h_j
        of_word = _one(drop(act(self.label_dependent(x), 0.1)))
        of_head = _one(drop(act(self.label_governor(with_root), 0.1)))
        return Scores(upos.float(), penn.float(), heads.float(), of_word.float(), of_head.float())

    def relations(self, scores: Scores, heads: Tensor) -> Tensor:
        """Logits of the relations (B, n, R) to these heads (B, n)."""
        chosen = scores.governors.gather(1, heads.unsqueeze(-1).expand(-1, -1, scores.governors.shape[-1]))
        left = torch.einsum("bni,rij->bnrj", scores.dependents, self.labels)
        return torch.einsum("bnrj,bnj->bnr", left, chosen)


class Dropout:
    """The same coordinates of all words of a sentence are dropped (Gal and Ghahramani, 2016)."""

    def __init__(self, rate: float, generator: torch.Generator | None):
        self.rate, self.generator = rate, generator

    def __call__(self, x: Tensor) -> Tensor:
        if self.generator is None:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2], generator=self.generator) >= self.rate
        return x * (kept / (1 - self.rate)).to(x.dtype)


def _one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)
