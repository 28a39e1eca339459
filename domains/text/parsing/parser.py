"""The parser: sentences as trees of Universal Dependencies, kept as safetensors and JSON; nothing in them can run code."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from domains.text.parsing.corpus import Sentence
from domains.text.parsing.network import Network, NetworkConfig, forms
from domains.text.tagging import BY_PENN, TAGS
from seqdiff.errors import CheckpointError

FORMAT = "seqdiff-parser-1"
BUNDLED = Path(__file__).parents[1] / "models" / "parser-ewt"
MANY = 2000  # words of a pass


@dataclass(frozen=True)
class Tree:
    """A sentence as the parser reads it: heads from 1, 0 the root; `tags` are the classes of `tagging.TAGS`."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    upos: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True)
class Parser:
    """A trained network with the names of its classes and the forms of words that it knows, in order.

    Attributes:
        sha256: of the weights it was loaded with; None if it was never saved.
    """

    network: Network
    forms: tuple[str, ...]
    upos: tuple[str, ...]
    penn: tuple[str, ...]
    relations: tuple[str, ...]
    sha256: str | None = None

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {form: i for i, form in enumerate(self.forms, 1)}

    @cached_property
    def _tag_of_penn(self) -> Tensor:
        """(P, tags) 1 where a Penn tag is of a class."""
        kinds = torch.tensor([TAGS.index(BY_PENN.get(name, "X")) for name in self.penn])
        return torch.nn.functional.one_hot(kinds, len(TAGS)).double()

    def encode(self, words: Sequence[str]) -> Tensor:
        """(n, K) ids of the forms of words, 0 for those that are not known."""
        return torch.tensor([[self._ids.get(form, 0) for form in forms(word)] for word in words])

    def classes(self, s: Sentence) -> dict[str, Tensor]:
        """What the network is to say of a sentence of the corpus that it was made for."""
        found = {
            key: torch.tensor([getattr(self, key).index(name) for name in getattr(s, key)])
            for key in ("upos", "penn", "relations")
        }
        return found | {"heads": torch.tensor(s.heads)}

    @torch.no_grad()
    def parse(self, sentences: Sequence[Sequence[str]]) -> list[Tree]:
        """The trees of sentences of at least one word each; the best tree with one word at its root."""
        found: list[Tree | None] = [None] * len(sentences)
        for rows in _alike([len(words) for words in sentences]):
            scores = self.network(torch.stack([self.encode(sentences[i]) for i in rows]))
            heads = torch.tensor([best_tree(s) for s in scores.heads.log_softmax(-1).double().numpy()])
            relations = self.network.relations(scores, heads)
            root = self.relations.index("root")
            relations[..., root] = relations[..., root].masked_fill(heads > 0, -torch.inf)  # the root's alone
            relation = torch.where(heads > 0, relations.argmax(-1), root)
            tags = (scores.penn.double().softmax(-1) @ self._tag_of_penn).argmax(-1)
            named = (tags, TAGS), (scores.upos.argmax(-1), self.upos), (relation, self.relations)
            for k, i in enumerate(rows):
                tag, upos, related = (tuple(names[c] for c in ids[k].tolist()) for ids, names in named)
                found[i] = Tree(tuple(sentences[i]), tag, upos, tuple(heads[k].tolist()), related)
        return [tree for tree in found if tree is not None]

    def save(self, folder: Path, figures: dict) -> None:
        """Write parser.json and parser.safetensors, in half precision."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = save({k: v.half().contiguous() for k, v in self.network.state_dict().items()})
        names = {key: getattr(self, key) for key in ("upos", "penn", "relations", "forms")}
        table = {"format": FORMAT, "figures": figures, "sha256": hashlib.sha256(weights).hexdigest()}
        table |= {"network": asdict(self.network.config)} | names
        (folder / "parser.safetensors").write_bytes(weights)
        (folder / "parser.json").write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Parser":
        """Raises CheckpointError for a folder that holds no parser, or a damaged one."""
        try:
            table = json.loads((folder / "parser.json").read_text(encoding="utf-8"))
            weights = (folder / "parser.safetensors").read_bytes()
            if table["format"] != FORMAT or hashlib.sha256(weights).hexdigest() != table["sha256"]:
                raise ValueError("its weights are not those that parser.json names")
            network = Network(NetworkConfig(**table["network"]))
            network.load_state_dict({k: v.float() for k, v in load(weights).items()})
            names = {key: tuple(table[key]) for key in ("upos", "penn", "relations", "forms")}
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"parser: {folder} holds no parser of `domains.text.parsing.train` ({error})") from None
        return cls(network.eval().requires_grad_(False), **names, sha256=table["sha256"])


@lru_cache(maxsize=1)
def bundled() -> Parser:
    """The parser that comes with the project."""
    return Parser.load(BUNDLED)


def _alike(lengths: list[int]) -> Iterator[list[int]]:
    """Places of equal length, at most MANY words together."""
    by_length: dict[int, list[int]] = {}
    for i, n in enumerate(lengths):
        by_length.setdefault(n, []).append(i)
    for n, rows in by_length.items():
        size = max(1, MANY // max(n, 1))
        yield from (rows[k : k + size] for k in range(0, len(rows), size))


def best_tree(scores: np.ndarray) -> list[int]:
    """Heads of the spanning tree of the largest Σ scores[i, head of i] with a single child of the root.

    scores: (n, n + 1) of word i + 1 under head j.
    """
    n = len(scores)
    weights = np.full((n + 1, n + 1), -np.inf)
    weights[1:] = scores
    np.fill_diagonal(weights, -np.inf)
    heads = weights.argmax(1)
    heads[0] = 0
    if (heads[1:] == 0).sum() == 1 and not len(_cycle(heads)):
        return heads[1:].tolist()
    finite = weights[np.isfinite(weights)]
    weights[1:, 0] -= (finite.max() - finite.min() + 1) * (n + 1)  # a second child of the root costs more than any gain
    return arborescence(weights)[1:].tolist()


def arborescence(weights: np.ndarray) -> np.ndarray:
    """The heads (m,) of the best spanning tree from word 0, by Chu and Liu, 1965, and Edmonds, 1967; weights[i, j] of j over i.

    Where every word's best head makes a cycle, the cycle becomes one word, and it is broken where that costs least.
    """
    heads = weights.argmax(1)
    heads[0] = 0
    cycle = _cycle(heads)
    if not len(cycle):
        return heads
    rest = np.setdiff1d(np.arange(len(heads)), cycle)
    into = (
        weights[np.ix_(cycle, rest)] - weights[cycle, heads[cycle]][:, None]
    )  # what it costs to enter at a word, from another
    out = weights[np.ix_(rest, cycle)]
    joined = np.full((len(rest) + 1,) * 2, -np.inf)
    joined[:-1, :-1], joined[-1, :-1], joined[:-1, -1] = weights[np.ix_(rest, rest)], into.max(0), out.max(1)
    found = arborescence(joined)
    members = np.append(rest, -1)
    for k, word in enumerate(rest[1:], 1):
        heads[word] = members[found[k]] if found[k] < len(rest) else cycle[out[k].argmax()]
    heads[cycle[into[:, found[-1]].argmax()]] = rest[found[-1]]
    return heads


def _cycle(heads: np.ndarray) -> np.ndarray:
    """The words of a cycle, none if there is none."""
    at = np.arange(len(heads))
    for _ in heads:
        at = heads[at]
    lost = at[at > 0]
    if not len(lost):
        return lost
    words = [int(lost[0])]
    while (after := int(heads[words[-1]])) != words[0]:
        words.append(after)
    return np.array(words)
