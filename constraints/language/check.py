"""What a constraint means: plain Python on the tokens of one row.

This is the checker of finished designs. It shares nothing with what compiles constraints: motifs are followed element by
element, regular expressions part by part, grammars by lark's Earley parser, JSON by a plain reading of the schema.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations, groupby

from constraints.language.check_json import accepts
from constraints.language.check_regex import matches
from constraints.language.distance import Edits, Identity
from constraints.language.expression import (
    ALL,
    Allow,
    And,
    Avoid,
    Ban,
    Constraint,
    Contains,
    Count,
    Distinct,
    EndsWith,
    Grammar,
    JsonSchema,
    Length,
    Not,
    Or,
    Pin,
    Regex,
    Runs,
    StartsWith,
    Sum,
    Tie,
    Within,
    Words,
)
from constraints.language.motif import Motif
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConditionError

Places = Sequence[int]


def holds(constraint: Constraint, tokens: Sequence[str], regions: Mapping[str, Places], alphabet: Alphabet) -> bool:
    """Whether a row of tokens satisfies a constraint; regions are the positions of each, in order."""
    return _Row(tokens, {**regions, ALL: range(len(tokens))}, alphabet).holds(constraint, range(len(tokens)))


class _Row:
    def __init__(self, tokens: Sequence[str], regions: Mapping[str, Places], alphabet: Alphabet):
        self.tokens, self.regions, self.alphabet = tokens, regions, alphabet

    def part(self, region: str, places: Places) -> list[int]:
        if region not in self.regions:
            raise ConditionError(f"unknown region {region!r}; this row has {', '.join(sorted(self.regions))}")
        inside = set(self.regions[region])
        return [place for place in places if place in inside]

    def holds(self, c: Constraint, places: Places) -> bool:
        x = [self.tokens[place] for place in places]
        match c:
            case And():
                return all(self.holds(part, places) for part in c.parts)
            case Or():
                return any(self.holds(part, places) for part in c.parts)
            case Not():
                return not self.holds(c.part, places)
            case Within():
                return self.holds(c.part, self.part(c.region, places))
            case Pin():
                return c.position < len(x) and x[c.position] == c.token
            case Allow() | Ban():
                asked = x if c.positions is None else [x[i] for i in c.positions if i < len(x)]
                return all((token in c.tokens) == isinstance(c, Allow) for token in asked)
            case Regex():
                return matches(c.pattern, "".join(x))
            case Contains() | Avoid():
                return any(_ends(c.motif, x, start) for start in range(len(x) + 1)) == isinstance(c, Contains)
            case StartsWith():
                return bool(_ends(c.motif, x, 0))
            case EndsWith():
                return any(len(x) in _ends(c.motif, x, start) for start in range(len(x) + 1))
            case Count():
                here = [token in c.tokens for token in x]
                windows = [here] if c.window is None else [here[i : i + c.window] for i in range(len(x) - c.window + 1)]
                return all(_in_range(sum(window), c.low, c.high) for window in windows)
            case Length():
                return _in_range(len(x), c.low, c.high)
            case Sum():
                weights, low, high = c.units
                return low <= sum(weights.get(token, 0) for token in x) <= high
            case Runs():
                return all(token not in c.tokens or len(list(run)) <= c.most for token, run in groupby(x))
            case Words():
                return any(x == _cut(word, self.alphabet) for word in c.words)
            case Edits() | Identity():
                reference = _cut(c.reference, self.alphabet) or []
                if len(x) != len(reference):
                    return False
                unlike = sum(a != b for a, b in zip(x, reference, strict=True))
                if isinstance(c, Edits):
                    return _in_range(unlike, c.low, c.high)
                return c.low - 1e-6 <= 100 * (len(x) - unlike) / len(x) <= c.high + 1e-6
            case Tie():
                a = [self.tokens[i] for i in self.part(c.region_a, places)]
                b = [self.tokens[i] for i in self.part(c.region_b, places)]
                mapping = dict(c.mapping or ())
                return [mapping.get(token, token) for token in a] == (b[::-1] if c.reverse else b)
            case Distinct():
                if isinstance(c.items[0], str):
                    contents = [[self.tokens[i] for i in self.part(str(region), places)] for region in c.items]
                else:
                    contents = [[x[i]] for i in c.items if isinstance(i, int) and i < len(x)]
                return all(a != b for a, b in combinations(contents, 2))
            case Grammar():
                return derives(c.text, c.start, "".join(x))
            case JsonSchema():
                return accepts(c.schema, "".join(x))
        raise ConditionError(f"{c}: no way to check it is known")


def _in_range(value: int, low: int, high: int | None) -> bool:
    return low <= value and (high is None or value <= high)


def _ends(motif: Motif, x: Sequence[str], start: int) -> set[int]:
    """Where the motif can end that begins at `start`."""
    ends = {start}
    for element in motif.elements:
        after = set()
        for end in ends:
            for times in range(element.high + 1):
                if times >= element.low:
                    after.add(end + times)
                if end + times >= len(x) or x[end + times] not in element.tokens:
                    break
        ends = after
    return ends


def _cut(word: str, alphabet: Alphabet) -> list[str] | None:
    try:
        return alphabet.split(word)
    except AlphabetError:
        return None


@lru_cache(maxsize=32)
def _parser(grammar: str, start: str):
    import lark

    return lark.Lark(grammar, start=start, parser="earley", lexer="dynamic_complete")


def derives(grammar: str, start: str, text: str) -> bool:
    """Whether lark's Earley parser reads the whole text."""
    import lark

    try:
        _parser(grammar, start).parse(text)
    except lark.exceptions.UnexpectedInput:
        return False
    return True
