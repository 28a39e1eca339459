"""Well-formed SMILES as an automaton: what the syntax of a molecule allows at each token, with room for pinned fragments.

A state is (context, depth of the branch, parity of every ring label). The contexts:

    start   at the beginning or after a dot    an atom must come
    atom    after an atom, a ring label or a closed branch
    bond    after a bond                       an atom or a ring label must come
    open    after "("                          an atom or a bond must come
    twig    after "(" and a bond               an atom must come
    lone    after an aromatic atom where no ring is open, and a bond after it (below): a ring label must come

Held exactly: every branch that is opened is closed (up to `depth`), every ring label is opened and closed (parity), no bond,
branch or dot stands where the syntax has none. Not held, and checked afterwards: whether both ends of a ring bond agree, a
ring onto the same atom or a neighbour, valence, kekulisation.

An aromatic atom is in a ring, and of every ring through an atom some label is open where it stands, or is opened by it (a ring
bond joins an atom to one that is written below it, in any SMILES that is written depth first). With `rings` this is held, too.

Positions of region 1 are pinned. What is pinned balances its own branches and rings (the template is checked for that), so
its parentheses and labels are passed over, and a gap must balance its own: it may not close a branch that the template opened.
"""

import itertools
import re
from functools import lru_cache

import numpy as np

from constraints.automata.automaton import Automaton
from constraints.template import Gap, Template
from domains.smiles.tokens import is_ring_label
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

START, ATOM, BOND, OPEN, TWIG, LONE, LONE_BOND = CONTEXTS = range(7)
FREE, PINNED = 0, 1  # regions
AFTER = {  # context → {kind of token: context after it}
    START: {"atom": ATOM},
    ATOM: {"atom": ATOM, "bond": BOND, "ring": ATOM, "(": OPEN, ")": ATOM, ".": START},
    BOND: {"atom": ATOM, "ring": ATOM},
    OPEN: {"atom": ATOM, "bond": TWIG},
    TWIG: {"atom": ATOM},
    LONE: {"bond": LONE_BOND, "ring": ATOM},
    LONE_BOND: {"ring": ATOM},
}


AROMATIC = re.compile(r"[bcnops]|\[\d*[a-z]")


def kind_of(token: str) -> str:
    """ "atom", "bond", "ring", "(", ")" or "."."""
    if is_ring_label(token):
        return "ring"
    if token in "().":
        return token
    return "bond" if token in ("-", "=", "#", "$", ":", "/", "\\", "~") else "atom"


LABELS, DEPTH = 7, 6  # accept all of ZINC250k and 99.9 % of ChEMBL 22


def room(template: Template) -> tuple[int, int]:
    """(labels, depth) that the gaps of a template have tokens for; fewer of them are fewer states.

    d branches within each other need 3 d tokens: a pair of parentheses and an atom each. k labels that are open at once need
    2 k of them and atoms; 3 k is what molecules take.
    """
    longest = [gap.high for gap in template.gaps]
    return min(LABELS, sum(longest) // 3), min(DEPTH, max(longest, default=0) // 3)


@lru_cache(maxsize=16)
def well_formed(
    alphabet: Alphabet,
    labels: int = LABELS,
    depth: int = DEPTH,
    banned: frozenset[int] = frozenset(),
    rings: bool = False,
) -> Automaton:
    """The minimal automaton over the alphabet's tokens with regions FREE and PINNED.

    Args:
        labels: ring labels that free positions may use, the alphabet's first that are not banned; each doubles the states.
        depth: branches within branches at free positions.
        banned: ids that free positions may not use anyway.
        rings: whether an aromatic atom of a free position stands in a ring of free positions, as far as ring labels tell.
    """
    if not (0 <= labels <= 10 and depth >= 0):
        raise ConditionError(f"well-formed SMILES: expected 0 to 10 ring labels and a depth ≥ 0, got {labels} and {depth}")
    known = sorted((token for token in alphabet.tokens if is_ring_label(token)), key=lambda token: int(token.strip("%()")))
    known = [token for token in known if alphabet.ids[token] not in banned]
    used = {token: i for i, token in enumerate(known[:labels])}
    kinds = ["atom", "bond", "(", ")", ".", *used, "never", "aromatic"]
    classes = np.empty((2, len(alphabet)), np.int32)
    for v, token in enumerate(alphabet.tokens):
        kind = kind_of(token)
        free = "aromatic" if rings and AROMATIC.match(token) else kind
        classes[FREE, v] = kinds.index(free if kind != "ring" else token if token in used else "never")
        classes[PINNED, v] = len(kinds) + ["atom", "bond", "(", ")", ".", "ring"].index(kind)
    shape = len(CONTEXTS), depth + 1, 2 ** len(used)
    n = int(np.prod(shape))
    context, level, parity = np.unravel_index(np.arange(n), shape)

    def to(after: np.ndarray, level: np.ndarray, parity: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        allowed = allowed & (after >= 0) & (level >= 0) & (level <= depth)
        return np.where(allowed, (after * (depth + 1) + level) * 2 ** len(used) + parity, -1)

    def following(kind: str) -> np.ndarray:
        return np.array([AFTER[c].get(kind, -1) for c in CONTEXTS])[context]

    everywhere, change = np.ones(n, bool), {"(": 1, ")": -1}
    columns = [to(following(kind), level + change.get(kind, 0), parity, everywhere) for kind in ("atom", "bond", "(", ")", ".")]
    columns += [to(following("ring"), level, parity ^ (1 << i), everywhere) for i in used.values()]
    columns += [np.full(n, -1)]
    columns += [to(np.where((following("atom") == ATOM) & (parity == 0), LONE, following("atom")), level, parity, everywhere)]
    columns += [to(following(kind), level, parity, level == 0) for kind in ("atom", "bond", "(", ")", ".", "ring")]
    accepting = (context == ATOM) & (level == 0) & (parity == 0)
    return Automaton(classes, np.stack(columns, 1), int(START * (depth + 1) * 2 ** len(used)), accepting).minimal()


def in_open_rings(template: Template, alphabet: Alphabet) -> bool:
    """Whether a gap lies in a ring of the template: a label that is open there is closed before the gap's branch is."""
    runs = [[] if isinstance(part, Gap) else [alphabet.tokens[i] for i in part] for part in template.parts]
    for g, part in enumerate(template.parts):
        if not isinstance(part, Gap):
            continue
        opened: set[str] = set()
        for token in itertools.chain(*runs[:g]):
            opened ^= {token} if is_ring_label(token) else set()
        depth = 0
        for token in itertools.chain(*runs[g:]):
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth < 0:
                break
            if token in opened:
                return True
    return False
