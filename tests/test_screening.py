"""A surrogate of a goal, and the shares of moves: functions of what was scored alone."""

import math

import numpy as np
import pytest

from domains.campaign import surrogate
from domains.campaign.archive import Archive, Candidate
from domains.campaign.shares import FLOOR, GOOD, LATEST, shares
from domains.campaign.surrogate import ALIKE, BEST, BITS, NOISE, TWINS, Surrogate, quantiles, tanimoto, unary


def letters(text: str) -> dict[int, int]:
    return {ord(letter): text.count(letter) for letter in set(text)}


def archive_of(scores: dict[str, float], how: str = "start") -> Archive:
    archive = Archive()
    for text, score in scores.items():
        archive.add(Candidate(text, text, how=how), score, 0)
    return archive


def bits(*texts: str) -> np.ndarray:
    rows = np.zeros((len(texts), BITS), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[unary(letters(text))] = 1
    return rows


def test_the_kernel_is_tanimotos_of_counts():
    one, two = "aabbbc", "abbd"
    counts = [letters(one), letters(two)]
    keys = {*counts[0], *counts[1]}
    least, most = (sum(f(c.get(k, 0) for c in counts) for k in keys) for f in (min, max))
    assert tanimoto(bits(one), bits(two, "xyz", one))[0].tolist() == pytest.approx([least / most, 0, 1])
    assert tanimoto(bits(""), bits("", "a"))[0].tolist() == [1, 0]


def test_the_guess_is_that_of_a_gaussian_process():
    scores = {"aa": 1.0, "ab": 2.0, "bb": 5.0, "ccc": -math.inf}
    mean, deviation = Surrogate(letters).guess(archive_of(scores), ["abb", "aa", "zz"])
    known, new = bits(*scores), bits("abb", "aa", "zz")
    inverse = np.linalg.inv(tanimoto(known, known) + NOISE * np.eye(4))
    k = tanimoto(known, new)
    z = quantiles(list(scores.values()))
    assert mean == pytest.approx(k.T @ inverse @ z)
    assert deviation == pytest.approx(np.sqrt(1 - np.einsum("nm,nk,km->m", k, inverse, k)))
    assert z.argsort().tolist() == [3, 0, 1, 2] and mean[2] == 0 and deviation[2] == 1  # like nothing seen: the prior


def test_ranks_count_and_nothing_else():
    assert quantiles([3.0, 1.0, 2.0]).tolist() == quantiles([1e9, -math.inf, 0.0]).tolist()
    assert quantiles([1.0, 1.0]).tolist() == pytest.approx([0, 0])


def test_what_is_like_the_good_is_chosen():
    archive = archive_of({"a" * k + "b" * (8 - k): float(k) for k in range(9)})
    texts = ["abbbbbbbb", "aaaaaaaab", "aaaabbbbb"]
    chosen = Surrogate(letters).choose(archive, texts, 2, np.random.default_rng(0))
    assert chosen == [1, 2]


WITH_ONE_B = ["a" * k + "b" + "a" * (7 - k) for k in range(7)]  # features do not see the order of letters: these are twins


@pytest.mark.parametrize(
    ("seen", "asked"),
    [
        ({"aaaaaaab": 7.0}, ALIKE - 1),  # one more, to see whether the goal tells them apart
        ({"aaaaaaab": 7.0, "aaaaabaa": 7.0}, 0),  # it does not
        ({"aaaaaaab": 7.0, "aaaaabaa": 6.0}, TWINS - 2),  # it does
    ],
)
def test_twins_beyond_a_few_come_last(seen, asked):
    archive = archive_of({"b" * 8: 0.0, **seen})
    twins = [text for text in WITH_ONE_B if text not in archive]
    chosen = Surrogate(letters).choose(archive, [*twins, "bbbbbbbbb"], 8, np.random.default_rng(0))
    assert chosen == [*range(asked), len(twins), *range(asked, len(twins))]


def test_twins_of_the_best_do_not_take_the_places_that_others_are_learned_from():
    twins = {"a" * k + "b" + "a" * (BEST - k): 9.0 for k in range(BEST + 1)}
    latest = {"c" * k: 0.0 for k in range(1, surrogate.LATEST + 1)}
    mean, deviation = Surrogate(letters).guess(archive_of({"xyz": 5.0, **twins, **latest}), ["xyz"])
    assert mean[0] > 1 and deviation[0] < 0.3  # not forgotten: it was seen, and it is good


def test_a_move_is_made_as_often_as_it_succeeds_of_late():
    moves = ["flip", "swap", "copy"]
    assert shares(Archive(), moves) == pytest.approx([1 / 3] * 3)
    archive = archive_of({f"old{k}": 9.0 for k in range(100)}, "copy")  # too long ago to count
    for k in range(LATEST):
        how = "flip" if k % 5 else "swap"
        archive.add(Candidate(str(k), str(k), how=how), 1.0 if how == "flip" else 0.0, 1)
    flips, swaps, first = LATEST * 4 // 5, LATEST // 5, LATEST / GOOD
    rates = [FLOOR + (GOOD + 1) / (flips + first), FLOOR + 1 / (swaps + first), FLOOR + 1 / first]
    assert shares(archive, moves) == pytest.approx([rate / sum(rates) for rate in rates])
