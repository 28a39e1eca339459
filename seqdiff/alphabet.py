"""The alphabet: the only seam between the core, which knows integers, and a domain, which knows text."""

import json
import re
from dataclasses import dataclass
from functools import cached_property

from seqdiff.errors import AlphabetError


@dataclass(frozen=True)
class Alphabet:
    """An immutable set of tokens with ids 0 … V−1, and two ids above them that no denoiser can predict.

    The clean tokens come first so that p(x0 | x_t) has exactly V columns: a mask or a pad in an output is
    impossible by construction, not by masking logits.

    Attributes:
        name: what the tokens are, for messages ("smiles", "protein", …).
        tokens: the V clean tokens, distinct and not empty; id = place.
    """

    name: str
    tokens: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if not self.tokens:
            raise AlphabetError(f"alphabet {self.name!r}: expected at least one token, got none")
        for token in self.tokens:
            if not isinstance(token, str) or not token:
                raise AlphabetError(f"alphabet {self.name!r}: expected non-empty strings, got {token!r}")
        if len(set(self.tokens)) != len(self.tokens):
            twice = sorted({token for token in self.tokens if self.tokens.count(token) > 1})
            raise AlphabetError(f"alphabet {self.name!r}: tokens must be distinct, twice: {' '.join(twice)}")

    def __len__(self) -> int:
        """V, the number of clean tokens."""
        return len(self.tokens)

    @property
    def mask(self) -> int:
        """Id of the mask, V: what an absorbing process turns tokens into."""
        return len(self.tokens)

    @property
    def pad(self) -> int:
        """Id of the padding beyond a row's length, V + 1."""
        return len(self.tokens) + 1

    @cached_property
    def ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    @cached_property
    def _longest_match(self) -> re.Pattern:
        return re.compile("|".join(re.escape(token) for token in sorted(self.tokens, key=len, reverse=True)))

    def split(self, text: str) -> list[str]:
        """Cut text into tokens, the longest that fits at each place. Raises AlphabetError with the place marked."""
        tokens, start = [], 0
        while start < len(text):
            match = self._longest_match.match(text, start)
            if match is None:
                raise AlphabetError(
                    f"{self.name}: no token of the alphabet starts at character {start + 1}\n  {text}\n  {' ' * start}^"
                )
            tokens.append(match.group())
            start = match.end()
        return tokens

    def encode(self, text: str | list[str] | tuple[str, ...]) -> list[int]:
        """Ids of a text (cut by `split`) or of a list of tokens. Raises AlphabetError for an unknown token."""
        tokens = self.split(text) if isinstance(text, str) else text
        try:
            return [self.ids[token] for token in tokens]
        except KeyError as unknown:
            place = list(tokens).index(unknown.args[0])
            raise AlphabetError(
                f"{self.name}: token {place + 1} is {unknown.args[0]!r}, not one of the alphabet's {len(self)} tokens"
            ) from None

    def decode(self, ids) -> str:
        """Text of a sequence of clean ids. Raises AlphabetError for a mask, a pad or an id out of range."""
        return "".join(self.decode_tokens(ids))

    def decode_tokens(self, ids) -> list[str]:
        """Tokens of a sequence of clean ids, one by one."""
        out = []
        for place, i in enumerate(int(i) for i in ids):
            if not 0 <= i < len(self):
                kind = {self.mask: "the mask", self.pad: "padding"}.get(i, "no id at all")
                raise AlphabetError(
                    f"{self.name}: id {i} at position {place} is {kind}; expected a clean token, 0 to {len(self) - 1}"
                )
            out.append(self.tokens[i])
        return out

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "tokens": list(self.tokens)}, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Alphabet":
        try:
            fields = json.loads(text)
            return cls(fields["name"], tuple(fields["tokens"]))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise AlphabetError(f"expected an alphabet as JSON with 'name' and 'tokens': {error!r}") from None
