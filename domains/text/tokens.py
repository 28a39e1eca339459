"""Text into tokens and back: characters, words, bytes, byte pairs (BPE) or word pieces, told apart by the alphabet's name.

A token is a piece of text with the space before it, so that a text is its tokens joined: " The", " pub", ".". Words that the
alphabet lacks are spelled in its characters. Bytes and byte pairs are written in the printable letters that stand for bytes
since GPT-2 (Radford et al., 2019), so that every text has tokens. A marker such as "[food]" is one token in every alphabet.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from domains.text.pretrained import byte_cuts, word_pieces
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConfigError

KINDS = ("words", "characters", "bytes", "bpe")
WORD = re.compile(r" ?[^\W_]+(?:['’][^\W_]+)*| ?[^\w\s]| ?_|\s")
MARKER = re.compile(r"\[[a-z]+\]")


def normal(text: str) -> str:
    """Unicode composed (NFC), white space of any kind one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_marker(token: str) -> bool:
    """Whether a token marks a field or the text, such as "[food]" or "[text]"."""
    return MARKER.fullmatch(token) is not None


def begins_word(token: str) -> bool:
    """Whether a word begins with this token: a space and then a letter or a digit (of words, characters; not of bytes)."""
    return len(token) > 1 and token[0] == " " and token[1].isalnum()


def kind_of(alphabet: Alphabet) -> str:
    """One of KINDS, or wordpiece. Raises AlphabetError for an alphabet of another domain."""
    domain, kind, *_ = *alphabet.name.split("-"), ""
    if domain != "text" or kind not in (*KINDS, "wordpiece"):
        raise AlphabetError(f"expected an alphabet of text ({', '.join('text-' + k for k in KINDS)}), got {alphabet.name!r}")
    return kind


def encode(text: str, alphabet: Alphabet) -> list[int]:
    """Ids of a text as it stands: no space is added or taken away. Raises AlphabetError for what has no token."""
    kind = kind_of(alphabet)
    if kind in ("bytes", "bpe"):
        return _byte_pairs(alphabet).encode(text).ids
    if kind == "wordpiece":
        return word_pieces.encode(text, alphabet)
    ids = alphabet.ids
    out: list[int] = []
    for match in WORD.finditer(text):
        place = match.start()
        for piece in [match[0]] if match[0] in ids else spelled(match[0]):
            if piece not in ids:
                at = place + len(piece) - 1
                message = f"text, character {at + 1}: {piece.strip()!r} is not among the model's characters"
                raise AlphabetError(f"{message}\n  {text}\n  {' ' * at}^")
            out.append(ids[piece])
            place += len(piece)
    return out


def spelled(word: str) -> list[str]:
    """A word in characters, the first with the space before it: " cat" is " c", "a", "t"."""
    if word[:1] == " " and len(word) > 1:
        return [word[:2], *word[2:]]
    return list(word)


def decode(tokens: Sequence[str], alphabet: Alphabet) -> str:
    """The text of tokens, without the space before the first word; bytes that are no UTF-8 become �."""
    if kind_of(alphabet) in ("bytes", "bpe"):
        letters = _letters()
        parts = [token.encode() if is_marker(token) else bytes(letters[c] for c in token) for token in tokens]
        return b"".join(parts).decode("utf-8", "replace").strip()
    text = "".join(tokens).strip()
    return word_pieces.tidy(text) if kind_of(alphabet) == "wordpiece" else text


def as_bytes(text: str) -> str:
    """A text in the letters that stand for its bytes: "a b" is "aĠb"."""
    return "".join(_of_bytes()[b] for b in text.encode())


def bytes_beyond_ascii() -> list[str]:
    """The letters that stand for bytes 128 to 255."""
    return _of_bytes()[128:]


# ── alphabets ──


def alphabet_of(texts: Iterable[str], kind: str = "words", min_count: int = 8, markers: Sequence[str] = ()) -> Alphabet:
    """The alphabet of texts.

    Args:
        kind: words (and all characters, to spell the others), characters or bytes; for bpe see `train_bpe`.
        min_count: a word in fewer places is spelled.
        markers: tokens of fields, such as "[food]".
    """
    if kind == "bytes":
        return Alphabet("text-bytes", (*sorted(_letters()), *markers))
    if kind not in ("words", "characters"):
        raise ConfigError(f"data.tokens: expected one of {', '.join(KINDS)}; got {kind!r}")
    words, characters = Counter(), set()
    for text in texts:
        pieces = WORD.findall(" " + normal(text))
        words.update(pieces)
        characters.update(c for piece in pieces for c in spelled(piece))
    characters |= {c.strip() for c in characters if c.strip()} | {" " + c for c in characters if c.strip() == c}
    kept = {word for word, count in words.items() if count >= min_count} if kind == "words" else set()
    return Alphabet(f"text-{kind}", (*sorted(characters | kept), *markers))


def train_bpe(texts: Iterable[str], size: int = 4096, markers: Sequence[str] = ()) -> Alphabet:
    """Byte pairs learned from texts by Hugging Face `tokenizers`: bytes first, then merges in the order of their making."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size - len(markers), initial_alphabet=sorted(_letters()), show_progress=False)
    learner.train_from_iterator((" " + normal(text) for text in texts), trainer)
    return Alphabet("text-bpe", (*_by_rank(learner.get_vocab()), *markers))


def read_tokenizer(path: str) -> Alphabet:
    """The alphabet of a `tokenizer.json` of byte-level BPE. Raises ConfigError for any other, or one that merges otherwise."""
    from tokenizers import Tokenizer

    try:
        read: Any = Tokenizer.from_file(path)
    except Exception as error:  # the library raises a plain Exception
        raise ConfigError(f"data.tokens: {path} is no tokenizer.json ({error})") from None
    tokens = _by_rank(read.get_vocab(with_added_tokens=False))
    if not set(_letters()) <= set(tokens):
        raise ConfigError(f"data.tokens: {path}: expected byte-level BPE, whose tokens hold all 256 bytes")
    alphabet = Alphabet("text-bpe", tuple(tokens))
    for text in (" The quick brown fox jumps over the lazy dog; it's 12.50 £!", " naïve Ωmega\n  two"):
        if [alphabet.tokens[i] for i in encode(text, alphabet)] != read.encode(text, add_special_tokens=False).tokens:
            raise ConfigError(f"data.tokens: {path}: its merges are not in the order of its tokens, or it cuts words otherwise")
    return alphabet


def _by_rank(vocabulary: dict[str, int]) -> list[str]:
    return sorted(vocabulary, key=vocabulary.__getitem__)


@lru_cache(maxsize=1)
def _letters() -> dict[str, int]:
    """Printable letter → byte: bytes that print stand for themselves, the others for U+0100 and on, in order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(0x100 + k): b for k, b in enumerate(others)}


@lru_cache(maxsize=1)
def _of_bytes() -> list[str]:
    return sorted(_letters(), key=_letters().__getitem__)


@lru_cache(maxsize=8)
def _byte_pairs(alphabet: Alphabet):
    """Hugging Face's BPE over the alphabet: a token of several letters is the merge of two tokens that come before it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    merges, rank = [], {}
    for i, token in enumerate(alphabet.tokens):
        if len(token) > 1 and not is_marker(token):
            merges.append(_last_merge(token, rank, alphabet))
        rank[token] = i
    made = Tokenizer(models.BPE(vocab=dict(alphabet.ids), merges=merges))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = byte_cuts.pre_tokenizer(alphabet.name) or plain
    return made


def _last_merge(token: str, rank: dict[str, int], alphabet: Alphabet) -> tuple[str, str]:
    """The two parts that merging by rank leaves of a token's letters before the token itself is known."""
    parts = list(token)
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: rank.get(parts[i] + parts[i + 1], len(alphabet)))
        if parts[best] + parts[best + 1] not in rank:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    if len(parts) != 2:
        raise AlphabetError(f"{alphabet.name}: token {token!r} is not the merge of two tokens before it")
    return parts[0], parts[1]
