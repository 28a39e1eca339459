"""Grammars: mass, marginals and drawn law against enumeration; reading, lifting to tokens, intersection, ambiguity."""

import itertools
import re
from functools import lru_cache

import numpy as np
import pytest
import torch

from constraints.automata.automaton import Automaton
from constraints.automata.regex import regex
from constraints.grammars.grammar import Grammar, intersect
from constraints.grammars.grammar_reader import read_grammar
from constraints.grammars.grammar_structure import GrammarStructure
from constraints.grammars.normal_form import adjacent, binarised
from seqdiff.errors import ConditionError
from tests.laws import distribution_test


def balanced(text: str) -> bool:
    depth = 0
    for c in text:
        depth += {"(": 1, ")": -1}.get(c, 0)
        if depth < 0 or (c not in "()."):
            return False
    return depth == 0 and len(text) > 0


def arithmetic(text: str) -> bool:
    """A hand-written descent parser of sums of products of digits and brackets."""

    def expression(i):
        i = term(i)
        while i is not None and text[i : i + 1] == "+":
            i = term(i + 1)
        return i

    def term(i):
        i = factor(i)
        while i is not None and text[i : i + 1] == "*":
            i = factor(i + 1)
        return i

    def factor(i):
        if text[i : i + 1] == "1":
            return i + 1
        if text[i : i + 1] == "(":
            i = expression(i + 1)
            return i + 1 if i is not None and text[i : i + 1] == ")" else None
        return None

    return expression(0) == len(text)


BALANCED = 'start: item+\nitem: "." | "(" item* ")"'
PALINDROME = 'start: "a" start "a" | "b" start "b" | "c" start "c" | "a" | "b" | "c" | "aa" | "bb" | "cc"'
ARITHMETIC = 'start: start "+" term | term\nterm: term "*" atom | atom\natom: "1" | "(" start ")"'
LANGUAGES = {
    "balanced": (BALANCED, "().", balanced, 7),
    "palindromes": (PALINDROME, "abc", lambda x: len(x) > 0 and x == x[::-1], 6),
    "arithmetic": (ARITHMETIC, "1+*()", arithmetic, 6),
    "a^n b^n": ('start: "a" start "b" |', "ab", lambda x: x == "a" * (len(x) // 2) + "b" * (len(x) // 2), 8),
    "terminals by regex": (
        'start: WORD ("," WORD)*\nWORD: /a[ab]*/',
        "ab,",
        lambda x: bool(x) and all(w[:1] == "a" and "," not in w for w in x.split(",")),
        7,
    ),
    "a loop to the start of a terminal": ('start: A "b" A\nA: /(aa)+/', "ab", lambda x: _even_both_sides(x), 9),
}


def _even_both_sides(x: str) -> bool:
    left, found, right = x.partition("b")
    return bool(found and left and right) and {*left, *right} == {"a"} and len(left) % 2 == len(right) % 2 == 0


def words(tokens, length, holds):
    return [x for x in itertools.product(range(len(tokens)), repeat=length) if holds("".join(tokens[v] for v in x))]


def table(rows, length, vocabulary, seed=0):
    return torch.rand(rows, length, vocabulary, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.01


def weights(p, listed):
    """Π p of each word (R, W), and the marginals that they give (R, L, V)."""
    x = torch.tensor(listed)
    w = torch.stack([p[:, i, x[:, i]] for i in range(p.shape[1])]).prod(0)
    one_hot = torch.nn.functional.one_hot(x, p.shape[2]).double()
    return w, torch.einsum("rw,wlv->rlv", w / w.sum(-1, keepdim=True), one_hot)


@pytest.mark.parametrize("name", LANGUAGES)
def test_mass_and_marginals_are_those_of_the_enumerated_language(name):
    text, tokens, holds, longest = LANGUAGES[name]
    structure = GrammarStructure(read_grammar(text, tuple(tokens)))
    assert structure.ambiguous is False
    for length in range(longest + 1):
        p = table(3, length, len(tokens)).requires_grad_()
        log_mass = structure.log_mass(p)
        listed = words(tokens, length, holds)
        if not listed:
            assert (log_mass == float("-inf")).all()
            continue
        if not length:
            assert (log_mass == 0).all()
            continue
        w, marginals = weights(p.detach(), listed)
        assert torch.allclose(log_mass, w.sum(-1).log(), rtol=0, atol=1e-12)
        (gradient,) = torch.autograd.grad(log_mass.sum(), p)
        assert torch.allclose(gradient * p.detach(), marginals, rtol=0, atol=1e-12)
        everything = torch.tensor(list(itertools.product(range(len(tokens)), repeat=length)))
        assert everything[structure.accepts_rows(everything)].tolist() == [list(x) for x in listed]


def random_rules(rng):
    """Rules of up to three symbols with ε, units and letters of a vocabulary of 2, over up to four nonterminals."""
    names = "ABCD"[: rng.integers(2, 5)]
    return {
        a: {
            tuple(
                frozenset([int(rng.integers(2))]) if rng.random() < 0.45 else str(rng.choice(list(names))) for _ in range(size)
            )
            for size in rng.choice(4, p=[0.1, 0.25, 0.4, 0.25], size=rng.integers(1, 5))
        }
        for a in names
    }


def language(rules, longest):
    """Words of every nonterminal up to a length, as the least fixed point of the rules as they were written."""
    known = {a: set() for a in rules}
    while True:
        after = {}
        for a, bodies in rules.items():
            after[a] = set(known[a])
            for body in bodies:
                ways = [[(v,) for v in s] if isinstance(s, frozenset) else known[s] for s in body]
                after[a] |= {w for parts in itertools.product(*ways) if len(w := sum(parts, ())) <= longest}
        if after == known:
            return known
        known = after


def derivations(grammar: Grammar, x) -> int:
    """Parses of x in normal form, by plain recursion."""

    @lru_cache(None)
    def count(a, i, j):
        if j - i == 1:
            return int(grammar.lexical[a, x[i]])
        rules = [(b, c) for left, b, c in grammar.binary.tolist() if left == a]
        return sum(count(b, i, k) * count(c, k, j) for b, c in rules for k in range(i + 1, j))

    return count(0, 0, len(x)) if x else int(grammar.nullable)


@pytest.mark.parametrize("seed", range(25))
def test_random_grammars(seed):
    rules = random_rules(np.random.default_rng(seed))
    grammar = Grammar.from_rules(rules, "A", 2)
    structure = GrammarStructure(grammar)
    found = language(rules, 6)["A"]
    several = []
    for length in range(1, 7):
        everything = list(itertools.product(range(2), repeat=length))
        n = [derivations(grammar, x) for x in everything]
        assert [x for x, k in zip(everything, n, strict=True) if k] == sorted(x for x in found if len(x) == length)
        assert structure.parses(torch.tensor(everything)).tolist() == n
        p = table(1, length, 2, seed)
        w = weights(p, everything)[0] @ torch.tensor(n, dtype=torch.float64)
        assert torch.allclose(structure.log_mass(p).exp(), w, rtol=1e-12, atol=0)
        several += [length] if max(n) > 1 else []
    assert grammar.nullable == (() in found)
    ambiguous, reached = grammar.ambiguous_up_to()
    if ambiguous and reached <= 6:
        assert reached == several[0]
    else:
        assert all(length > reached for length in several)


@pytest.mark.parametrize("name", ["balanced", "palindromes", "arithmetic"])
def test_the_drawn_law_is_the_enumerated_one(name):
    text, tokens, holds, longest = LANGUAGES[name]
    length = longest - 1
    structure = GrammarStructure(read_grammar(text, tuple(tokens)))
    listed = words(tokens, length, holds)
    p = table(1, length, len(tokens), 3)
    w = weights(p, listed)[0][0]
    u = torch.rand(20_000, length, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    drawn, log_mass = structure.draw(p.expand(len(u), -1, -1), u)
    assert torch.allclose(log_mass, w.sum().log().expand_as(log_mass), rtol=0, atol=1e-12)
    ok, report = distribution_test(drawn, torch.tensor(listed), w / w.sum())
    assert ok, report
    if name == "palindromes":
        wrong = w.clone()
        wrong[w.argmax()] *= 1.5
        assert not distribution_test(drawn, torch.tensor(listed), wrong / wrong.sum())[0]
    alone = torch.cat([structure.draw(p, u[r : r + 1])[0] for r in range(20)])
    assert torch.equal(alone, drawn[:20])


def test_a_grid_of_noise_gives_each_word_its_share():
    """Two positions, words ab, ba, cc: u over a fine grid is an integral, not a sample."""
    structure = GrammarStructure(read_grammar('start: "ab" | "ba" | "cc"', ("a", "b", "c")))
    p = table(1, 2, 3, 5)
    w = weights(p, [(0, 1), (1, 0), (2, 2)])[0][0]
    side = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    u = torch.stack([side, side.flip(0)], -1)
    drawn, _ = structure.draw(p.expand(len(u), -1, -1), u)
    share = torch.tensor([(drawn == torch.tensor(x)).all(-1).double().mean() for x in ([0, 1], [1, 0], [2, 2])])
    assert torch.allclose(share.double(), w / w.sum(), rtol=0, atol=1 / 2000)


AMBIGUOUS = 'start: start "+" start | "n" | "m" "n"? | start "n"'  # nn in two ways, sums in Catalan many


def test_ambiguous_words_are_drawn_by_their_weight_and_not_by_their_parses():
    tokens = ("n", "m", "+")
    grammar = read_grammar(AMBIGUOUS, tokens)
    assert grammar.ambiguous_up_to()[0]
    structure = GrammarStructure(grammar)
    assert structure.ambiguous
    everything = torch.tensor(list(itertools.product(range(3), repeat=5)))
    n = structure.parses(everything)
    listed = everything[n > 0]
    assert len(set(n.tolist())) > 3
    p = table(1, 5, 3, 6)
    w = weights(p, listed.tolist())[0][0]
    u = torch.rand(20_000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    drawn, log_mass = structure.draw(p.expand(len(u), -1, -1), u)
    ok, report = distribution_test(drawn, listed, w / w.sum())
    assert ok, report
    assert torch.allclose(log_mass[0], (w * n[n > 0]).sum().log(), rtol=0, atol=1e-12)
    uncorrected, _ = GrammarStructure(grammar, ambiguous=False).draw(p.expand(len(u), -1, -1), u)
    assert not distribution_test(uncorrected, listed, w / w.sum())[0]
    assert torch.equal(structure.draw(p, u[11:12])[0][0], drawn[11])


def test_where_no_try_is_accepted_equal_numbers_of_parses_still_give_the_law():
    """Sums of seven terms have 132 parses each: 4 tries nearly always fail, and yet the law is the product's."""
    structure = GrammarStructure(read_grammar('start: start "+" start | "n" | "m"', ("n", "m", "+")), tries=4)
    p = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).expand(3000, 13, 3)
    u = torch.rand(3000, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    drawn, _ = structure.draw(p, u)
    assert (drawn[:, 1::2] == 2).all() and (structure.parses(drawn[:5]) == 132).all()
    share = (drawn[:, ::2] == 0).double().mean(0)
    assert ((share - 7 / 9).abs() < 4 * (7 / 9 * 2 / 9 / 3000) ** 0.5).all()


def spellings(tokens, texts, length):
    return [x for x in itertools.product(range(len(tokens)), repeat=length) if "".join(tokens[v] for v in x) in texts]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('start: "C" start "N" | "Cl" | "[nH]" | "Br" start?', ("C", "N", "Cl", "[nH]", "Br", "l")),
        ('start: A B | A start B\nA: "a"\nB: "b"', ("a", "b", "ab", "aab", "bb")),
        ('start: WORD (" " WORD)*\nWORD: /[ab]+/', ("a", "b", "ab", " a", " ab", "b ")),
        ('start: "if "i start | "x" | /x=+x/', ("if", "If", " x", " ", "x", "=", "=x", "==", "i", "f")),
    ],
)
def test_tokens_of_several_characters(text, tokens):
    """Every sequence of tokens is a word exactly if lark's own parser reads its text; parses are those of the text."""
    import lark

    grammar = read_grammar(text, tokens)
    structure = GrammarStructure(grammar)
    parser = lark.Lark(text, parser="earley", lexer="dynamic_complete")

    def holds(x):
        try:
            parser.parse(x)
        except lark.exceptions.LarkError:
            return False
        return True

    found = 0
    for length in range(1, 5):
        everything = list(itertools.product(range(len(tokens)), repeat=length))
        if len(everything) > 1500:
            everything = [everything[i] for i in np.random.default_rng(length).choice(len(everything), 1500, replace=False)]
        accepted = structure.accepts_rows(torch.tensor(everything)).tolist()
        expected = [holds("".join(tokens[v] for v in x)) for x in everything]
        assert accepted == expected
        found += sum(expected)
    assert found >= 5


@pytest.mark.parametrize("name", ["balanced", "palindromes", "arithmetic"])
def test_a_grammar_and_an_automaton(name):
    text, tokens, holds, longest = LANGUAGES[name]
    grammar = read_grammar(text, tuple(tokens))
    automaton = regex(f"[{tokens[0]}{tokens[1]}].*|.{{3}}", tuple(tokens))
    odd = Automaton(np.zeros((1, len(tokens))), np.array([[1], [0]]), 0, np.array([False, True]))
    for which in (automaton, odd, automaton & odd):
        both = intersect(grammar, which)
        structure = GrammarStructure(both)
        assert not structure.ambiguous
        for length in range(1, longest + 1):
            listed = [x for x in words(tokens, length, holds) if which.accepts(x)]
            p = table(2, length, len(tokens), 9)
            log_mass = structure.log_mass(p)
            if listed:
                assert torch.allclose(log_mass, weights(p, listed)[0].sum(-1).log(), rtol=0, atol=1e-12)
            else:
                assert (log_mass == float("-inf")).all()
    with pytest.raises(ConditionError, match="needs more than 3 rules"):
        intersect(grammar, automaton, budget=3)


def test_regions_are_read_in_order_and_the_rest_is_free():
    """Rows whose inside positions lie apart and differ in number."""
    inner = GrammarStructure(read_grammar(BALANCED, tuple("().")))
    structure = GrammarStructure(inner.grammar, inside=np.array([False, True]))
    region = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    p = table(4, 6, 3, 10)
    expected = []
    for r in range(4):
        inside = region[r] == 1
        mass = inner.log_mass(p[r : r + 1, inside])[0] if inside.any() else torch.tensor(float("-inf")).double()
        expected.append(mass + p[r, ~inside].sum(-1).log().sum())
    assert torch.allclose(structure.log_mass(p, region), torch.stack(expected), rtol=0, atol=1e-12)
    u = torch.rand(3000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    tokens, log_mass = structure.draw(p[:1].expand(3000, -1, -1), u, region[:1].expand(3000, -1))
    assert torch.allclose(log_mass, expected[0].expand(3000), rtol=0, atol=1e-12)
    assert structure.accepts_rows(tokens, region[:1].expand(3000, -1)).all()
    texts = {"".join("()."[v] for v in row) for row in tokens[:, region[0] == 1].tolist()}
    assert all(map(balanced, texts)) and len(texts) == sum(balanced("".join(x)) for x in itertools.product("().", repeat=4))
    share = torch.bincount(tokens[:, 1], minlength=3) / 3000
    assert torch.allclose(share.double(), p[0, 1] / p[0, 1].sum(), atol=0.04)


def test_settled_positions_far_below_the_range_of_floats():
    """Sixty positions that a model holds impossible, 10⁻¹⁰⁰ each: the mass is a logarithm and loses nothing."""
    structure = GrammarStructure(read_grammar(BALANCED, tuple("().")))
    p = torch.tensor([1e-100, 1e-100, 1.0], dtype=torch.float64).repeat(1, 60, 1)
    p[..., 2] = 0
    catalan = torch.lgamma(torch.tensor([61.0, 31.0, 32.0], dtype=torch.float64))
    assert torch.allclose(
        structure.log_mass(p), 60 * torch.tensor(1e-100, dtype=torch.float64).log() + catalan[0] - catalan[1:].sum()
    )
    tokens, _ = structure.draw(p, torch.rand(1, 60, dtype=torch.float64))
    assert structure.accepts_rows(tokens).all()


def test_pins_that_no_word_fits_have_no_mass():
    structure = GrammarStructure(read_grammar(PALINDROME, tuple("abc")))
    p = table(2, 5, 3).requires_grad_()
    pinned = p * torch.tensor([[[1.0, 0, 0]] + [[1, 1, 1]] * 3 + [[0, 1, 0]], [[1.0, 1, 1]] * 5])
    log_mass = structure.log_mass(pinned)
    assert log_mass[0] == float("-inf") and torch.isfinite(log_mass[1])
    (gradient,) = torch.autograd.grad(log_mass[1], p)
    assert torch.isfinite(gradient).all()
    tokens, _ = structure.draw(pinned, torch.rand(2, 5, dtype=torch.float64))
    assert tokens.shape == (2, 5) and tokens.max() < 3
    assert not structure.accepts_rows(torch.tensor([[0, 1, 3, 1, 0]])).any()  # a hole


REFUSED = {
    'start: "a"\n%ignore " "': "%ignore",
    'start: "a': "lark cannot read it",
    "start: other": "lark cannot read it",
    "start: A\nA: /a(?=b)/": "terminal A.*lookahead",
    "start: A\nA: /a/i": "the flag i of the regular expression",
    "start: A\nA: /(a|b)*a(a|b){16}/": "more than 5,000 states",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_supported_is_refused_by_name(text):
    with pytest.raises(ConditionError, match=REFUSED[text]):
        read_grammar(text, ("a", "b"))


def test_budgets_of_rules_and_of_length():
    with pytest.raises(ConditionError, match="needs more than 5 rules"):
        read_grammar(ARITHMETIC, tuple("1+*()"), budget=5)
    structure = GrammarStructure(read_grammar(BALANCED, tuple("().")))
    assert torch.isfinite(structure.log_mass(table(1, 100, 3)))
    with pytest.raises(ConditionError, match="300 positions are too many"):
        structure.log_mass(table(1, 300, 3))
    with pytest.raises(ConditionError, match="expected probabilities of 3 tokens, got 4"):
        structure.log_mass(table(1, 3, 4))


def test_neighbours_are_those_of_the_words():
    """s → a b s | b, a → x | y | ε, b → z a."""
    rules = binarised({"s": {("a", "b", "s"), ("b",)}, "a": {(frozenset("xy"),), ()}, "b": {(frozenset("z"), "a")}})
    texts = ("".join(word) for n in range(8) for word in itertools.product("xyz", repeat=n))
    words = [text for text in texts if re.fullmatch("([xy]?z[xy]?)*z[xy]?", text)]
    assert adjacent(rules) == {pair for word in words for pair in itertools.pairwise(word)}


def test_of_thousands_of_words_only_those_that_fit_take_part():
    """The budget counts what is met on the way: without a look at neighbours it would be met with every word."""
    letters = "abcdefghijklmnopqrst"
    words = tuple(f" {a}{b}{c}" for a, b, c in itertools.product(letters, repeat=3))
    alphabet = (*letters, " ", *words)
    grammar = read_grammar('start: " bad" start " cab" | " "', alphabet, budget=60)
    structure = GrammarStructure(grammar)
    p = torch.full((1, 3, len(alphabet)), 1 / len(alphabet), dtype=torch.float64)
    count = structure.log_mass(p).exp().item() * len(alphabet) ** 3
    assert count == pytest.approx(1, rel=1e-6), "' bad', ' ', ' cab'"
