"""Every kind of constraint: its class, fields, meaning and an example. A literal table that an API can serve as it is."""

from typing import Any

from constraints.language.algebra import And, Constraint, Not, Or, Within
from constraints.language.distance import Edits, Identity
from constraints.language.expression import (
    Allow,
    Avoid,
    Ban,
    Contains,
    Count,
    Distinct,
    EndsWith,
    Grammar,
    JsonSchema,
    Length,
    Pin,
    Regex,
    Runs,
    StartsWith,
    Sum,
    Tie,
    Words,
)

_TOKENS, _MOTIF = "list of tokens, {'not': list of tokens}, or text such as [ST]", "text such as N-[^P]-[ST]-x(2,4)-C"
KINDS: dict[str, dict[str, Any]] = {
    "pin": {
        "kind": "regular",
        "fields": {"position": "whole number ≥ 0", "token": "text"},
        "meaning": "this token at this position",
        "example": "pin(3, N)",
    },
    "allow": {
        "kind": "regular",
        "fields": {"tokens": _TOKENS, "positions": "list of whole numbers, or null for all"},
        "meaning": "only these tokens, at these positions or everywhere",
        "example": "allow([ST], 0, 2, 5..9)",
    },
    "ban": {
        "kind": "regular",
        "fields": {"tokens": _TOKENS, "positions": "list of whole numbers, or null for all"},
        "meaning": "none of these tokens, at these positions or everywhere",
        "example": "ban([P])",
    },
    "regex": {
        "kind": "regular",
        "fields": {"pattern": "text"},
        "meaning": "the whole text matches this regular expression",
        "example": 'regex("(AB)+C?")',
    },
    "contains": {
        "kind": "regular",
        "fields": {"motif": _MOTIF},
        "meaning": "the motif stands somewhere",
        "example": "contains(C-x(2,4)-C)",
    },
    "avoid": {
        "kind": "regular",
        "fields": {"motif": _MOTIF},
        "meaning": "the motif stands nowhere",
        "example": "avoid(N-[^P]-[ST])",
    },
    "starts_with": {
        "kind": "regular",
        "fields": {"motif": _MOTIF},
        "meaning": "the motif stands at the beginning",
        "example": "starts_with(M)",
    },
    "ends_with": {
        "kind": "regular",
        "fields": {"motif": _MOTIF},
        "meaning": "the motif stands at the end",
        "example": "ends_with([KR]-x(0,2)-G)",
    },
    "count": {
        "kind": "regular",
        "fields": {
            "tokens": _TOKENS,
            "low": "whole number ≥ 0",
            "high": "whole number, or null for any",
            "window": "whole number, or null",
        },
        "meaning": "so many tokens of the set, in all or in every window of so many positions",
        "example": "count([C], 0..2, window=10)",
    },
    "length": {
        "kind": "regular",
        "fields": {"low": "whole number ≥ 0", "high": "whole number, or null for any"},
        "meaning": "so many tokens",
        "example": "length(4..9)",
    },
    "sum": {
        "kind": "regular",
        "fields": {"weights": "object of numbers by token", "low": "number", "high": "number", "step": "number > 0"},
        "meaning": "the tokens' weights, each rounded to whole steps, add up to low … high",
        "example": 'sum({"D": -1, "E": -1, "K": 1, "R": 1}, -2..2, step=1)',
    },
    "runs": {
        "kind": "regular",
        "fields": {"tokens": _TOKENS, "most": "whole number ≥ 1"},
        "meaning": "no token of the set stands more than so many times in a row",
        "example": "runs([^], 3)",
    },
    "words": {
        "kind": "regular",
        "fields": {"words": "list of texts"},
        "meaning": "the whole is one of these texts",
        "example": 'words("GSG", "GSGGSG")',
    },
    "edits": {
        "kind": "regular",
        "fields": {"reference": "text", "low": "whole number ≥ 0", "high": "whole number, or null for any"},
        "meaning": "as long as the reference, and unlike it at so many positions",
        "example": "edits(MKVLA, 0..2)",
    },
    "identity": {
        "kind": "regular",
        "fields": {"reference": "text", "low": "percent, 0 to 100", "high": "percent, 0 to 100"},
        "meaning": "as long as the reference, and like it at so many percent of the positions",
        "example": "identity(MKVLA, 60..80%)",
    },
    "tie": {
        "kind": "relation",
        "fields": {
            "region_a": "region",
            "region_b": "region",
            "mapping": "object of tokens by token, or null",
            "reverse": "true or false",
        },
        "meaning": "region b is region a token by token: the same, mapped, or read backwards",
        "example": 'tie(stem5, stem3, map={"A": "U", "U": "A"}, reverse)',
    },
    "distinct": {
        "kind": "relation",
        "fields": {"items": "list of positions, or of regions"},
        "meaning": "different tokens at all these positions, or different contents of all these regions",
        "example": "distinct(0, 4..6)",
    },
    "grammar": {
        "kind": "context-free",
        "fields": {"text": "grammar in lark's notation", "start": "name of a rule"},
        "meaning": "the whole text is derived by this context-free grammar",
        "example": 'grammar("start: \\"a\\" start \\"b\\" | \\"c\\"")',
    },
    "json_schema": {
        "kind": "context-free",
        "fields": {"schema": "JSON Schema"},
        "meaning": "the whole text is JSON that this schema accepts; written compactly, members in the schema's order",
        "example": 'json_schema({"type": "array", "items": {"enum": [0, 1]}})',
    },
    "and": {
        "kind": "as its parts",
        "fields": {"parts": "list of constraints"},
        "meaning": "all hold",
        "example": "length(4..9) & ban([P])",
    },
    "or": {
        "kind": "as its parts",
        "fields": {"parts": "list of constraints"},
        "meaning": "at least one holds",
        "example": "contains(A-B) | starts_with(C)",
    },
    "not": {
        "kind": "as its part",
        "fields": {"part": "constraint"},
        "meaning": "it does not hold",
        "example": '~regex("A+B")',
    },
    "within": {
        "kind": "as its part",
        "fields": {"part": "constraint", "region": "region"},
        "meaning": "it holds of this region's positions, as if they stood one after another",
        "example": "within(linker, length(4..9))",
    },
}
CLASSES: dict[str, type[Constraint]] = {
    c.name: c
    for c in (Pin, Allow, Ban, Regex, Contains, Avoid, StartsWith, EndsWith, Count, Length, Sum, Runs, Words, Edits, Identity,
              Tie, Distinct, Grammar, JsonSchema, And, Or, Not, Within)
}  # fmt: skip
