"""Languages that nest: grammars, and JSON under a schema."""

import json
from dataclasses import dataclass

from constraints.language.algebra import CONTEXT_FREE, NAME, Constraint, bare, quoted


@dataclass(frozen=True)
class Grammar(Constraint):
    """The whole text is derived from `start` by this context-free grammar in lark's notation."""

    text: str
    start: str = "start"
    name = "grammar"
    _kind = CONTEXT_FREE

    def __post_init__(self):
        self._need_text("a grammar", self.text)
        self._need_text("start, a rule's name,", self.start)

    def _arguments(self):
        return [quoted(self.text), *([] if self.start == "start" else [bare(self.start, NAME)])]


@dataclass(frozen=True)
class JsonSchema(Constraint):
    """The whole text is JSON that this schema accepts. Given as a dict, true or false, or as JSON text; kept as text."""

    schema: str
    name = "json_schema"
    _kind = CONTEXT_FREE

    def __post_init__(self):
        schema = self.schema
        try:
            schema = json.loads(schema) if isinstance(schema, str) else schema
            text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._refuse(f"a schema that is JSON ({error})", self.schema) from None
        if not isinstance(schema, (dict, bool)):
            raise self._refuse("a schema: an object, true or false", self.schema)
        self._set(schema=text)

    def _arguments(self):
        return [self.schema]
