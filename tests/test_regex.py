"""Regular expressions against Python's `re` on all token sequences up to a length, and against automata-lib."""

import itertools
import random
import re
import warnings

import numpy as np
import pytest

from constraints.automata.automaton import Automaton
from constraints.automata.exploration import Budget
from constraints.automata.regex import regex
from seqdiff.errors import ConditionError

SINGLE, SEVERAL = ("a", "b", "c"), ("a", "ab", "b", "cb", "c", "abc")
PATTERNS = 300


def rows_of(tokens, length: int) -> np.ndarray:
    return np.array(list(itertools.product(range(len(tokens)), repeat=length)), np.int64).reshape(len(tokens) ** length, length)


def differences(a: Automaton, pattern: str, tokens, up_to: int) -> list[str]:
    """Texts on which the automaton and `re` disagree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matches = re.compile(pattern).fullmatch
    wrong = []
    for length in range(up_to + 1):
        rows = rows_of(tokens, length)
        for row, accepted in zip(rows.tolist(), a.accepts_rows(rows).tolist(), strict=True):
            text = "".join(tokens[v] for v in row)
            if accepted != bool(matches(text)):
                wrong.append(text)
    return wrong


def random_regex(rng: random.Random, depth: int, classes: bool) -> str:
    """A regular expression over a, b, c; with `classes`, in more of the notation than automata-lib reads."""
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        plain = ["a", "b", "c", "."]
        return rng.choice(
            [*plain, "[ab]", "[^a]", "[b-c]", "[^a-b]", r"\w", r"\x61", r"[\x62c]", "d", "[]a]"] if classes else plain
        )
    if kind < 0.55:
        return "".join(random_regex(rng, depth - 1, classes) for _ in range(rng.randint(2, 3)))
    if kind < 0.75:
        opening = rng.choice(["(", "(?:", f"(?P<n{rng.randrange(10**9)}>"]) if classes else "("
        branches = [random_regex(rng, depth - 1, classes) for _ in range(rng.randint(2, 3))]
        return opening + "|".join([*branches, ""] if classes and rng.random() < 0.2 else branches) + ")"
    low = rng.randint(0, 2)
    repeat = rng.choice(["*", "+", "?", f"{{{low},{low + rng.randint(0 if low else 1, 2)}}}", f"{{{low},}}"])
    if classes:
        repeat = rng.choice([repeat, repeat, f"{{{low}}}", f"{{,{low}}}"]) + rng.choice(["", "", "?"])
    return f"({random_regex(rng, depth - 1, classes)}){repeat}"


def check_against_re(seeds, tokens, up_to):
    for seed in seeds:
        pattern = random_regex(random.Random(seed), 3, classes=True)
        assert differences(regex(pattern, tokens), pattern, tokens, up_to) == [], pattern


def check_against_automata_lib(seeds):
    from automata.fa.dfa import DFA
    from automata.fa.nfa import NFA

    sizes = set()
    for seed in seeds:
        pattern = random_regex(random.Random(seed), 3, classes=False)
        a = regex(pattern, SINGLE)
        least = DFA.from_nfa(NFA.from_regex(pattern, input_symbols=set(SINGLE)), minify=True)
        dead = [
            q for q in least.states if q not in least.final_states and all(least.transitions[q].get(c, q) == q for c in SINGLE)
        ]
        assert a.states == len(least.states) - len(dead), pattern
        assert [a.count_words(n) for n in range(9)] == [least.count_words_of_length(n) for n in range(9)], pattern
        sizes.add(a.states)
    assert max(sizes) > 8  # the patterns are not all trivial


def test_random_patterns_match_as_re_does():
    check_against_re(range(PATTERNS), SINGLE, 5)


def test_random_patterns_match_however_tokens_cut_the_text():
    check_against_re(range(1000, 1000 + PATTERNS // 2), SEVERAL, 4)


def test_random_patterns_are_minimal_and_counted_right():
    check_against_automata_lib(range(PATTERNS))


@pytest.mark.slow
def test_a_thousand_random_patterns():
    check_against_re(range(10_000, 11_000), SINGLE, 7)
    check_against_re(range(20_000, 21_000), SEVERAL, 5)
    check_against_automata_lib(range(30_000, 31_000))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "()",
        "(|a)*",
        "(a*)*b",
        "((a|b){2}){0,2}",
        "(((){9}){9}){9}",
        "a{0}b",
        "a{,2}",
        "a{,}",
        "a{}",
        "a{x}|{",
        "a{2",
        "]b}",
        r"\(\)\*\\",
        r"\[-\]",
        "[]-]+",
        "[^]a]+",
        r"[\]\-a]*",
        "[(|*+?{}.^$]+",
        "[a^]+",
        r"\d+|\s\S",
        r"\141\x62\u0063",
        r"[\141-c]+",
        r"\N{LATIN SMALL LETTER A}+",
        ".+",
        "[[a]+",
        "é|ß",
        r"(?P<name>a)(?:b)|\t",
        r"[\d\s]*",
        r"\W+",
    ],
)
def test_the_notation_is_that_of_re(pattern):
    tokens = tuple("abc(){}[]*+?.^$|-\\ 19é\t\n") + ("a{", "}", "x}")[::2]
    assert differences(regex(pattern, tokens), pattern, tokens, 2) == []
    few = ("a", "{", "}", "x", ",", "2")
    assert differences(regex(pattern, few), pattern, few, 4) == []


def test_a_word_is_a_sequence_of_tokens():
    tokens = ("C", "l", "Cl", "[C@@H]", "(")
    a = regex(r"Cl|\[C@@H\]\(?", tokens)
    accepted = [row for n in range(4) for row in rows_of(tokens, n).tolist() if a.accepts(row)]
    assert accepted == [[2], [3], [0, 1], [3, 4]]
    assert regex(r"\[C", tokens).is_empty  # no token ends within another's text
    assert regex(r"N+", tokens).is_empty


@pytest.mark.parametrize(
    ("pattern", "place", "message"),
    [
        ("a(?=b)", 2, r"a lookahead is not supported: combine two constraints with & and ~"),
        ("a(?!b)", 2, "a lookahead is not supported"),
        ("(?<=a)b", 1, "a lookbehind is not supported"),
        ("ab(?<!a)", 3, "a lookbehind is not supported"),
        (r"(a)b\1", 5, "a backreference is not supported: it is not regular; tie the positions"),
        ("(?P<x>a)(?P=x)", 9, "a backreference is not supported"),
        ("^ab", 1, "an anchor is not supported: leave it out, all of the text is matched anyway"),
        ("ab$", 3, "an anchor is not supported"),
        (r"a\b", 2, "an anchor is not supported"),
        (r"\Aa", 1, "an anchor is not supported"),
        (r"a\Z", 2, "an anchor is not supported"),
        ("(?i)a", 1, r"a flag is not supported: write out what it stands for, as \[Cc\]"),
        ("a(?i:b)", 2, "a flag is not supported"),
        ("(?-s:a)", 1, "a flag is not supported"),
        ("(a)(?(1)b|c)", 4, "a conditional group is not supported"),
        ("b(?>a|b)", 2, "an atomic group is not supported"),
        ("ba*+", 4, "a possessive quantifier is not supported"),
        ("a(?#no)b", 2, "a comment is not supported"),
        ("a**", 3, "multiple repeat"),
        ("a(b", 2, r"missing \), unterminated subpattern"),
        ("ab)", 3, "unbalanced parenthesis"),
        ("b[a", 2, "unterminated character set"),
        (r"a\q", 2, r"bad escape \\q"),
        ("a{3,2}", 3, "min repeat greater than max repeat"),
        ("a{99999999999}", 1, "the repetition number is too large"),
    ],
)
def test_what_is_refused_is_named_with_its_place(pattern, place, message):
    with pytest.raises(ConditionError, match=f"regex, character {place}: {message}") as error:
        regex(pattern, SINGLE)
    assert str(error.value).endswith(f"\n  {pattern}\n  {' ' * (place - 1)}^")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a|b)*a(a|b){16}", r"regex '\(a\|b\)\*a\(a\|b\)\{16\}' needs more than 50,000 states; narrow or shorten"),
        ("a{3000}", r"regex 'a\{3000\}' needs more than 2,000 characters; shorten its repetitions"),
        ("((a{99}){99}){99}", "needs more than 2,000 characters"),
        ("(" * 3000 + "a" + ")" * 3000, "groups are nested too deep; write it flatter"),
    ],
)
def test_what_is_too_large_is_refused(pattern, message):
    with pytest.raises(ConditionError, match=message):
        regex(pattern, SINGLE)


def test_the_budget_is_the_callers():
    with pytest.raises(ConditionError, match="needs more than 100 states"):
        regex("(a|b)*a(a|b){7}", SINGLE, Budget(states=100))
    pairs = tuple(f"{x}{y}" for x in "abc" for y in "abc")
    with pytest.raises(ConditionError, match="needs more than 20 transitions"):
        regex("(abc|b|ca)*", pairs, Budget(edges=20))
    assert regex("(a|b)*a(a|b){7}", SINGLE).states == 2**8
