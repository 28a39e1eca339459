r"""JSON strings as regular expressions over their text, quotes and escapes included.

Each string has one spelling, that of Python's json.dumps(…, ensure_ascii=False): a quote, a backslash and control
characters are escaped, \b \t \n \f \r by a letter and the others as \u00xx, and nothing else is.
"""

import json
import re

from seqdiff.errors import ConditionError

_CONTROL = r"\x00-\x1f"
_NUMBERED = "u00(?:0[0-7be-f]|1[0-9a-f])"
CHARACTER = rf'(?:[^"\\{_CONTROL}]|\\(?:["\\bfnrt]|{_NUMBERED}))'
_DOT = rf'(?:[^"\\{_CONTROL}\u2028\u2029]|\\(?:["\\bft]|{_NUMBERED}))'
_SPECIAL = '"\\' + "".join(map(chr, range(32)))
_SPACE = r"\t\n\x0b\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}
_HOUR, _MINUTE = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_DATE = (
    "[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIME = rf"{_HOUR}:{_MINUTE}:{_MINUTE}(?:\.[0-9]+)?(?:Z|[+\-]{_HOUR}:{_MINUTE})"
_BYTE = "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
}
_REFUSED = {
    r"\(\?[=!]": "a lookahead",
    r"\(\?<[=!]": "a lookbehind",
    r"\\[1-9k]": "a backreference",
    r"\\[bB]": "a word boundary",
    r"\\[pP]": "a Unicode property",
    r"\\u\{": r"\u{…}",
    r"\\c": "a control escape",
    r"[\^$]": "an anchor that is not at an end of the whole pattern",
}
_PIECE = re.compile(
    r"(?P<group>\(\?:|\(\?<\w+>|\((?!\?)|\)|\|)|(?P<quantifier>(?:[*+?]|\{\d+(?:,\d*)?\})\??)"
    r"|(?P<class>\[\^?(?:\\.|[^\]\\])*\])|(?P<escape>\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.))|(?P<plain>.)",
    re.DOTALL,
)


def literal(text: str) -> str:
    """The expression of one text."""
    return re.escape(text)


def quoted(inner: str) -> str:
    """A string whose content, as it is spelled, matches."""
    return f'"{inner}"'


def other_than(keys: list[str]) -> str:
    """Strings, quotes included, that are none of these keys: the complement of a trie."""
    unusual = [key for key in keys if json.dumps(key, ensure_ascii=False)[1:-1] != key]
    if unusual:
        raise ConditionError(f"the key {unusual[0]!r} needs an escape; beside further properties that is not supported")

    def differs(keys: list[str]) -> str:
        """What may follow, given the keys that agree so far: their rests; the empty rest may not end here."""
        first = sorted({key[0] for key in keys if key})
        if not first:
            return f"{CHARACTER}+" if "" in keys else f"{CHARACTER}*"
        listed = "".join(re.escape(c) for c in first)
        other = CHARACTER.replace("[^", f"[^{listed}", 1) + f"{CHARACTER}*"
        branches = [other] + [re.escape(c) + differs([key[1:] for key in keys if key[:1] == c]) for c in first]
        return f"(?:{'|'.join(branches)})" + ("" if "" in keys else "?")

    return quoted(differs(keys) if keys else f"{CHARACTER}*")


def from_pattern(pattern: str) -> str:
    """The content of strings in which an ECMA-262 pattern finds a match. Raises ConditionError for what is not regular.

    A pattern is read over the string's characters; here each is replaced by its spelling in JSON.
    """
    begins, ends = pattern.startswith("^"), bool(re.search(r"(?<!\\)(?:\\\\)*\$\Z", pattern))
    body = pattern[begins : len(pattern) - ends]
    pieces, depth, outer_choice = [], 0, False
    at = 0
    while at < len(body):
        refused = [why for shape, why in _REFUSED.items() if re.match(shape, body[at:])]
        piece = _PIECE.match(body, at)
        if refused or piece is None:
            raise ConditionError(f"{refused[0] if refused else 'this'} in the pattern {pattern!r} is not supported")
        at = piece.end()
        text = piece.group()
        depth += {"(": 1, ")": -1}.get(text[0], 0) if piece["group"] else 0
        outer_choice |= text == "|" and depth == 0
        pieces.append(_spelled(piece, pattern))
    if outer_choice and begins != ends:
        raise ConditionError(f"an anchor of one alternative alone in the pattern {pattern!r} is not supported")
    if outer_choice and begins:
        raise ConditionError(f"anchors beside | in the pattern {pattern!r} belong to the outer alternatives; write ^(?:…)$")
    return ("" if begins else f"{CHARACTER}*") + f"(?:{''.join(pieces)})" + ("" if ends else f"{CHARACTER}*")


def _spelled(piece: re.Match, pattern: str) -> str:
    text = piece.group()
    if piece["group"]:
        return text if text in (")", "|") else "(?:"
    if piece["quantifier"]:
        return text.rstrip("?") if len(text) > 1 else text
    if piece["class"]:
        return _class(text, pattern)
    if piece["plain"]:
        return _DOT if text == "." else _one(text)
    letter = text[1]
    if letter in _CLASSES:
        return _class(f"[{text}]", pattern)
    if letter in "DWS":
        return _class(f"[^{_CLASSES[letter.lower()]}]", pattern)
    if letter in "xu" and len(text) > 2:
        return _one(chr(int(text[2:], 16)))
    if letter in "tnrfv0":
        return _one(dict(zip("tnrfv0", "\t\n\r\f\v\0", strict=True))[letter])
    if letter.isalnum():
        raise ConditionError(f"the escape {text} in the pattern {pattern!r} is not supported")
    return _one(letter)


def _one(character: str) -> str:
    """A character as JSON spells it; one piece for a quantifier."""
    spelled = json.dumps(character, ensure_ascii=False)[1:-1]
    return re.escape(spelled) if len(spelled) == 1 else f"(?:{re.escape(spelled)})"


def _class(text: str, pattern: str) -> str:
    """A class: its usual characters as a class, and those that JSON escapes as alternatives."""
    negated = text[1] == "^"
    inner = text[2 if negated else 1 : -1]
    complements = set(re.findall(r"\\(?:([DWS])|.)", inner, re.DOTALL)) - {""}
    inner = re.sub(r"\\(.)|([\[&~|])", _class_item, inner, flags=re.DOTALL)
    if not (inner or complements):
        raise ConditionError(f"the empty class in the pattern {pattern!r} is not supported")
    either = [f"[{inner}]"] * bool(inner) + [f"[^{_CLASSES[c.lower()]}]" for c in sorted(complements)]
    try:
        holds = re.compile(f"(?!{'|'.join(either)})." if negated else "|".join(either), re.DOTALL)
    except re.error as error:
        raise ConditionError(f"the class {text} in the pattern {pattern!r} cannot be read: {error}") from None
    special = [c for c in _SPECIAL if holds.match(c)]
    if complements or (special and not negated):
        usual = _ranges(holds)
    elif negated:
        usual = rf'[^{inner}"\\{_CONTROL}]'
    else:
        usual = f"[{inner}]"
    parts = [part for part in (usual, _escapes(special)) if part]
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def _escapes(special: list[str]) -> str:
    """Escapes of these characters as one short expression; "" for none."""
    spelled = [json.dumps(c)[1:-1] for c in special]
    short = "".join(re.escape(text[1]) for text in spelled if len(text) == 2)
    parts = [f"[{short}]"] if short else []
    for first in "01":
        second = "".join(text[5] for text in spelled if text[1:5] == f"u00{first}")
        parts += [f"u00{first}[{second}]"] if second else []
    return rf"\\(?:{'|'.join(parts)})" if parts else ""


def _class_item(item: re.Match) -> str:
    """An escape or a character that Python would one day read as a set operation, as Python writes it."""
    if item[2]:
        return "\\" + item[2]
    letter = item[1]
    if letter in "DWS":
        return ""
    if letter in "BpPc":
        raise ConditionError(f"the escape {item[0]} in a class of a pattern is not supported; list what it holds")
    return _CLASSES.get(letter, letter if letter == "/" else item[0])


def _ranges(holds: re.Pattern) -> str:
    """The characters of a class that JSON does not escape, as a class of ranges."""
    member = [c for c in range(0x20, 0x110000) if chr(c) not in _SPECIAL and holds.match(chr(c))]
    ends = [i for i, c in enumerate(member) if i + 1 == len(member) or member[i + 1] != c + 1]
    starts = [0, *(i + 1 for i in ends[:-1])]
    if not member:
        return ""
    return "[" + "".join(f"\\U{member[a]:08x}-\\U{member[b]:08x}" for a, b in zip(starts, ends, strict=True)) + "]"
