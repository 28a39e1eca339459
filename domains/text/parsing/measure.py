"""How much of a treebank a parser reads right. Words are cut as the treebank cuts them, signs among them."""

from collections import Counter
from collections.abc import Sequence

from domains.text.parsing.constituents import PHRASES, constituents
from domains.text.parsing.corpus import Sentence
from domains.text.parsing.parser import Parser, Tree
from domains.text.tagging import BY_PENN


def measure(parser: Parser, sentences: Sequence[Sentence]) -> dict:
    """Shares of words that are right, and of each kind of phrase F1 = 2·right / (found + there).

    upos: the part of speech of Universal Dependencies; tags: that of `tagging.TAGS`; uas: the head; las: the head and the
    relation, with its subtype. Phrases are those of the treebank's own trees.
    """
    trees = parser.parse([s.words for s in sentences])
    right, found, there, both = Counter(), Counter(), Counter(), Counter()
    for s, tree in zip(sentences, trees, strict=True):
        heads = [a == b for a, b in zip(s.heads, tree.heads, strict=True)]
        right["upos"] += sum(a == b for a, b in zip(s.upos, tree.upos, strict=True))
        right["tags"] += sum(BY_PENN.get(a, "X") == b for a, b in zip(s.penn, tree.tags, strict=True))
        right["uas"] += sum(heads)
        right["las"] += sum(h and a == b for h, a, b in zip(heads, s.relations, tree.relations, strict=True))
        ours, theirs = constituents(tree), constituents(Tree(s.words, (), s.upos, s.heads, s.relations))
        for counts, spans in ((found, ours), (there, theirs), (both, ours & theirs)):
            counts.update(kind for kind, *_ in spans)
    n = sum(len(s.words) for s in sentences)
    shares = {key: round(right[key] / n, 4) for key in ("upos", "tags", "uas", "las")}
    phrases = {kind: round(2 * both[kind] / max(1, found[kind] + there[kind]), 4) for kind in PHRASES}
    return {"sentences": len(sentences), "words": n, **shares, "phrases": phrases}
