"""What a text looks like: regular expressions, motifs, lists of words."""

from dataclasses import dataclass

from constraints.language.algebra import Constraint, quoted
from constraints.language.motif import Motif


@dataclass(frozen=True)
class Regex(Constraint):
    """The whole text matches this regular expression."""

    pattern: str
    name = "regex"

    def __post_init__(self):
        if not isinstance(self.pattern, str):
            raise self._refuse("a pattern as text", self.pattern)

    def _arguments(self):
        return [quoted(self.pattern)]


@dataclass(frozen=True)
class _Motif(Constraint):
    motif: Motif

    def __post_init__(self):
        self._set(motif=Motif.of(self.motif))

    def _arguments(self):
        return [str(self.motif)]


@dataclass(frozen=True)
class Contains(_Motif):
    """The motif stands somewhere."""

    name = "contains"


@dataclass(frozen=True)
class Avoid(_Motif):
    """The motif stands nowhere."""

    name = "avoid"


@dataclass(frozen=True)
class StartsWith(_Motif):
    """The motif stands at the beginning."""

    name = "starts_with"


@dataclass(frozen=True)
class EndsWith(_Motif):
    """The motif stands at the end."""

    name = "ends_with"


@dataclass(frozen=True)
class Words(Constraint):
    """The whole is one of these texts, cut into tokens as the alphabet cuts them."""

    words: tuple[str, ...]
    name = "words"

    def __post_init__(self):
        words = self._list("words", self.words)
        if not words or not all(isinstance(word, str) for word in words):
            raise self._refuse("at least one text", words)
        self._set(words=tuple(dict.fromkeys(words)))

    def _arguments(self):
        return [quoted(word) for word in self.words]
