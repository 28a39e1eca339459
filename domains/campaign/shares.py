"""How often each kind of move is made: as often as it led to something good of late."""

from collections import Counter
from collections.abc import Sequence

from domains.campaign.archive import Archive

LATEST, GOOD = 500, 50  # of so many latest entries, so many of the best count as successes
FLOOR = 0.02  # added to each rate, so that no move is given up


def shares(archive: Archive, moves: Sequence[str]) -> list[float]:
    """The share of each move, in their order; equal at first.

        share_m ∝ floor + (s_m + 1) / (n_m + LATEST/GOOD)        of the n_m latest entries that m made, s_m are good

    A function of the archive alone, so that a campaign that goes on from its file makes the same moves.
    """
    latest = [entry for entry in archive.entries[-LATEST:] if entry.how in moves]
    good = sorted(latest, key=lambda entry: (-entry.score, entry.call))[:GOOD]
    tries, successes = Counter(entry.how for entry in latest), Counter(entry.how for entry in good)
    weights = [FLOOR + (successes[move] + 1) / (tries[move] + LATEST / GOOD) for move in moves]
    return [weight / sum(weights) for weight in weights]
