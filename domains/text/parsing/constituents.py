"""The constituents of a dependency tree: which words in a row are a noun phrase, a clause, a subject.

    NP    a nominal head with its determiners, adjectives, compounds and what follows and modifies it; also without what follows
    PP    the same with the preposition before it
    VP    a verb, or the copula before a predicate, with all that comes after it; from any auxiliary on
    S     a predicate with its subject
    ADJP, ADVP    an adjective or adverb with what modifies it
    nsubj, obj, obl, …    all that hangs on a word of this relation of Universal Dependencies

Signs at either end are left out, but for the end of a sentence, with which and without which it is an S; a phrase is one with
its conjuncts and without them. Phrases of a dependency tree are a reading of it: an annotator of constituents, who decides by
other rules, may bracket otherwise.
"""

from collections.abc import Iterable

from domains.text.parsing.parser import Tree

PHRASES = ("NP", "PP", "VP", "S", "ADJP", "ADVP")
NOMINAL = {"NOUN", "PROPN", "PRON", "NUM", "SYM"}
ARGUMENTS = {"nsubj", "obj", "iobj", "obl", "nmod"}
SUBJECTS = {"nsubj", "csubj", "expl"}
OF_NOUN = {"det", "nummod", "amod", "compound", "nmod", "flat", "appos", "acl", "fixed", "goeswith", "case", "advmod"}
OF_NAME = {"flat", "fixed", "compound", "nummod", "goeswith"}
OF_ADJECTIVE = {"advmod", "obl", "xcomp", "ccomp", "fixed", "compound"}
OF_ADVERB = {"advmod", "obl", "fixed", "compound"}
Span = tuple[str, int, int]


def constituents(tree: Tree) -> set[Span]:
    """(kind, first, last) with words from 0, last among them."""
    found: set[Span] = set()
    children: dict[int, list[int]] = {h: [] for h in range(-1, len(tree.words))}
    for i, head in enumerate(tree.heads):
        children[head - 1].append(i)
    below = {i: _below(i, children) for i in children}
    base = [relation.partition(":")[0] for relation in tree.relations]

    def add(kind: str, head: int, parts: Iterable[int], start: int = 0) -> None:
        """The words from start on of head and parts with all below them, if nothing but signs stands between them."""
        taken = {head, *(w for part in parts if base[part] != "punct" for w in below[part])}
        words = [w for w in taken if w >= start and (w == head or tree.upos[w] != "PUNCT")]
        first, last = min(words), max(words)
        if all(w in taken or tree.upos[w] == "PUNCT" for w in range(first, last + 1)):
            found.add((kind, first, last))

    for h in range(len(tree.words)):
        mine = children[h]
        if base[h] not in ("root", "punct"):
            for kind in {base[h], tree.relations[h]}:
                add(kind, h, mine)
        verb = tree.upos[h] in ("VERB", "AUX") and base[h] not in ("aux", "cop")
        subjects = [c for c in mine if base[c] in SUBJECTS]
        predicate = verb or any(base[c] == "cop" for c in mine)
        for more in (set(), {"conj"}):
            joined = set() if predicate or subjects else more  # what is joined to a predicate is a clause
            if tree.upos[h] in NOMINAL or (base[h] in ARGUMENTS and tree.upos[h] in ("DET", "ADJ")):
                of_noun = [c for c in mine if base[c] in OF_NOUN | joined and not (base[c] in ("case", "advmod") and c < h)]
                add("NP", h, of_noun)
                add("NP", h, [c for c in of_noun if c < h or base[c] in OF_NAME])
                if before := [c for c in mine if base[c] == "case" and c < h]:
                    add("PP", h, [*of_noun, *before])
            elif tree.upos[h] == "ADJ":
                add("ADJP", h, [c for c in mine if base[c] in OF_ADJECTIVE | joined])
            elif tree.upos[h] == "ADV":
                add("ADVP", h, [c for c in mine if base[c] in OF_ADVERB | joined])
            if predicate:
                clause = [c for c in mine if base[c] not in {"parataxis", "cc", "conj"} - more]
                to = [c for c in clause if base[c] == "mark" and tree.upos[c] == "PART"]
                copulas = [c for c in clause if base[c] == "cop"]
                for start in [c for c in clause if base[c] == "aux" and c < h] + to + (copulas or [h]):
                    if all(w < start for c in subjects if c < h for w in below[c]):
                        add("VP", h, clause, start)
                if subjects:
                    add("S", h, [c for c in clause if base[c] != "mark"])
    if any(base[c] in SUBJECTS for c in children[children[-1][0]]):
        found.add(("S", 0, len(tree.words) - 1))
    return found


def _below(i: int, children: dict[int, list[int]]) -> list[int]:
    """A word and all that hangs on it."""
    found, waiting = [], [i]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found
