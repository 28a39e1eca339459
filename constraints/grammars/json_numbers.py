"""Decimal numbers between bounds as regular expressions: exact digit by digit, without rounding.

An integer is written 0 or without leading zeros; a number may have a fraction of any length; between bounds a negative zero
is left out, and so are exponents, which elsewhere have at most two digits: more would be no finite number to most readers.
"""

from decimal import Decimal

from seqdiff.errors import ConditionError

INTEGER = "-?(?:0|[1-9][0-9]*)"
NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]{1,2})?"
_FRACTION = r"(?:\.[0-9]+)?"
_LONGEST = 40  # digits of a bound


def one_of(parts: list[str]) -> str | None:
    """Alternatives as one expression; None if there are none."""
    return parts[0] if len(parts) == 1 else "(?:" + "|".join(parts) + ")" if parts else None


def integers(low: int | None, high: int | None) -> str | None:
    """The integers from low to high, both included; None is unbounded, as an answer: there is none."""
    parts = []
    if low is None or low < 0:
        below = _naturals(1 if high is None else max(1, -high), None if low is None else -low)
        parts += [] if below is None else ["-" + below]
    above = _naturals(max(0, low or 0), high)
    return one_of(parts + ([] if above is None else [above]))


def decimals(low: Decimal | None, low_open: bool, high: Decimal | None, high_open: bool) -> str | None:
    """The numbers, written without an exponent, above low and below high (or equal, where not open)."""
    parts = []
    if low is None or low < 0:
        least, least_open = (Decimal(0), True) if high is None or high >= 0 else (-high, high_open)
        below = _magnitudes(least, least_open, None if low is None else -low, low_open)
        parts += ["-" + part for part in below]
    if high is None or high >= 0:
        least, least_open = (low, low_open) if low is not None and low >= 0 else (Decimal(0), False)
        parts += _magnitudes(least, least_open, high, high_open)
    return one_of(parts)


def _naturals(low: int, high: int | None) -> str | None:
    """The naturals from low ≥ 0 to high: those with as many digits as low, as high, and all between."""
    first = len(str(low))
    longer = f"[1-9][0-9]{{{first},"
    as_long = _same_length(str(low), "9" * first)
    if high is None:
        return one_of([as_long, longer + "}"])
    if high < low:
        return None
    last = len(str(high))
    if first == last:
        return _same_length(str(low), str(high))
    between = [f"{longer}{last - 2}}}"] if last > first + 1 else []
    return one_of([as_long, *between, _same_length("1" + "0" * (last - 1), str(high))])


def _same_length(low: str, high: str) -> str:
    """Digit strings from low to high, all of one length."""
    n = len(low)
    if not n:
        return ""
    if set(low) == {"0"} and set(high) == {"9"}:
        return f"[0-9]{{{n}}}" if n > 1 else "[0-9]"
    if low[0] == high[0]:
        return low[0] + _same_length(low[1:], high[1:])
    a, b = int(low[0]), int(high[0])
    rest = n - 1
    parts = []
    if rest and set(low[1:]) != {"0"}:
        parts.append(low[0] + _same_length(low[1:], "9" * rest))
        a += 1
    upper = []
    if rest and set(high[1:]) != {"9"}:
        upper.append(high[0] + _same_length("0" * rest, high[1:]))
        b -= 1
    if a <= b:
        parts.append(_digits(a, b) + _same_length("0" * rest, "9" * rest))
    return one_of(parts + upper) or ""


def _digits(a: int, b: int) -> str:
    return str(a) if a == b else f"[{a}-{b}]"


def _split(value: Decimal) -> tuple[int, str]:
    """Integer part and the digits of the fraction, without trailing zeros, of a value ≥ 0."""
    text = format(value, "f")
    if len(text) > _LONGEST:
        raise ConditionError(f"expected a bound of at most {_LONGEST} digits, got {value}")
    whole, _, fraction = text.partition(".")
    return int(whole), fraction.rstrip("0")


def _magnitudes(low: Decimal, low_open: bool, high: Decimal | None, high_open: bool) -> list[str]:
    """Numbers without a sign: those with the integer part of low, with that of high, and all between, with any fraction."""
    if high is not None and high < low:
        return []
    first, above = _split(low)
    if high is None:
        return [*_with_fraction(first, above, low_open, None, False), f"{_naturals(first + 1, None)}{_FRACTION}"]
    last, below = _split(high)
    if first == last:
        return _with_fraction(first, above, low_open, below, high_open)
    between = _naturals(first + 1, last - 1)
    middle = [] if between is None else [between + _FRACTION]
    return [*_with_fraction(first, above, low_open, None, False), *middle, *_with_fraction(last, None, False, below, high_open)]


def _with_fraction(whole: int, low: str | None, low_open: bool, high: str | None, high_open: bool) -> list[str]:
    digits, none = _tail(low, low_open, high, high_open)
    fraction = None if digits is None else rf"\.{digits}"
    if none:
        return [f"{whole}" if fraction is None else f"{whole}(?:{fraction})?"]
    return [] if fraction is None else [f"{whole}{fraction}"]


def _tail(low: str | None, low_open: bool, high: str | None, high_open: bool) -> tuple[str | None, bool]:
    """(expression of the digits that may follow, at least one; whether none at all may).

    low and high are what is left of a bound that all digits so far were equal to; None: it is already cleared.
    """
    none = (low is None or (not low and not low_open)) and (high is None or bool(high) or not high_open)
    if low is None and high is None:
        return "[0-9]+", none
    if not low and not high:  # each bound is cleared or has only zeros left
        if high is None:
            return ("0*[1-9][0-9]*" if low_open else "[0-9]+"), none
        return ("0+" if none else None), none
    following: dict[tuple, list[int]] = {}
    for d in range(10):
        least, most = int((low or "0")[0]), int((high or "0")[0])
        if (low is None or d >= least) and (high is None or d <= most):
            after_low = None if low is None or d > least else low[1:]
            after_high = None if high is None or d < most else high[1:]
            following.setdefault((after_low, after_high), []).append(d)
    parts = []
    for (after_low, after_high), ds in following.items():
        more, end = _tail(after_low, low_open, after_high, high_open)
        head = _digits(ds[0], ds[-1])
        if more is not None:
            parts.append(f"{head}(?:{more})?" if end else f"{head}{more}")
        elif end:
            parts.append(head)
    return one_of(parts), none
