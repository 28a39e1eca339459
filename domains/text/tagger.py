"""Parts of speech of finished texts, as the parser reads them: the classes of `domains.text.tagging`."""

from dataclasses import dataclass
from pathlib import Path

from domains.text.parsing.parser import BUNDLED, Parser
from domains.text.parsing.reading import read


@dataclass(frozen=True)
class Tagger:
    """Tags of the words and signs of a text, cut as `metrics.words_of` cuts it."""

    parser: Parser

    @classmethod
    def load(cls, folder: Path = BUNDLED) -> "Tagger":
        """That of a parser's folder. Raises CheckpointError for one that is none."""
        return cls(Parser.load(folder))

    def of_text(self, text: str) -> list[str]:
        return read([text], self.parser)[0].tags
