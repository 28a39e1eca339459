"""From a published tokenizer.json to an alphabet of ours and the ids of its tokens: WordPiece, and byte pairs (BPE) of bytes.

What cannot be said has no token of ours: special tokens, unused ones, and pieces that look like our marks of fields. That our
way to cut a text is the tokenizer's is tried on sentences; a tokenizer that cuts otherwise is refused.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.text.pretrained.byte_cuts import NAMES
from domains.text.pretrained.word_pieces import CONTINUES, is_sign, ours
from domains.text.tokens import as_bytes, bytes_beyond_ascii, encode, is_marker, normal
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, CheckpointError

TRIED = (
    "The quick brown fox jumps over the lazy dog; it's 12.50 for 1,000 of them (see p. 7)!",
    "Isn't “Zürich” a well-known city? They'LL say: \"yes\" - at 100 % of costs/benefits.",
)


@dataclass(frozen=True)
class Tokens:
    """A tokenizer as we read it.

    Attributes:
        alphabet: its tokens that may be said.
        ids: its ids of them.
        before, after: its ids that it puts around a text.
        named: its special tokens by name, "mask_token" and "pad_token" among them, where tokenizer_config.json says.
    """

    alphabet: Alphabet
    ids: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    named: dict[str, int]


def read_tokens(folder: Path) -> Tokens:
    """Raises CheckpointError for a tokenizer that is missing, of another kind, or cuts otherwise than we do."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(
            f"{path}: expected the tokenizer in one file, found none; transformers writes it: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    try:
        made: Any = Tokenizer.from_file(str(path))
        table = json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises a plain Exception
        raise CheckpointError(f"{path}: no tokenizer.json ({error})") from None
    barred = {entry["content"] for entry in table.get("added_tokens", ()) if entry.get("special")}
    kind = (table.get("model") or {}).get("type")
    if kind == "WordPiece" and table["model"].get("continuing_subword_prefix", CONTINUES) == CONTINUES:
        places, names = _word_pieces(made, barred), ("text-wordpiece",)
    elif kind == "BPE" and set(_letters()) <= set(made.get_vocab()):
        places, names = _byte_pairs(made, table, barred), NAMES
    else:
        raise CheckpointError(f"{path}: expected WordPiece with ## or byte pairs (BPE) of bytes, got {kind} of another kind")
    alphabets, ids = [Alphabet(name, tuple(places)) for name in names], tuple(places.values())
    alphabet = next((alphabet for alphabet in alphabets if _cuts_alike(alphabet, ids, made)), None)
    if alphabet is None:
        raise CheckpointError(f"{path}: it cuts texts otherwise than the ways that are known ({', '.join(names)})")
    framed = made.encode("a")
    said = [i for i, special in enumerate(framed.special_tokens_mask) if not special]
    return Tokens(alphabet, ids, tuple(framed.ids[: said[0]]), tuple(framed.ids[said[-1] + 1 :]), _named(folder, made))


def _word_pieces(made, barred: set[str]) -> dict[str, int]:
    """Our token → its id; a piece that no text is cut into is left out."""
    found: dict[str, int] = {}
    for piece, i in sorted(made.get_vocab().items(), key=lambda item: item[1]):
        inside = piece.removeprefix(CONTINUES)
        odd = piece in barred or (piece.startswith("[unused") and piece.endswith("]")) or not inside.strip()
        if not odd and not (inside != piece and any(map(is_sign, inside))):
            found.setdefault(ours(piece), i)
    return found


def _byte_pairs(made, table: dict, barred: set[str]) -> dict[str, int]:
    """Our token → its id: bytes, then what is merged in the order of merging, as far as its parts can be said."""
    vocabulary = made.get_vocab()
    kept = {letter: vocabulary[letter] for letter in sorted(_letters())}
    for merge in table["model"]["merges"]:
        one, other = merge.split(" ") if isinstance(merge, str) else merge
        whole = one + other
        if one in kept and other in kept and whole in vocabulary and whole not in barred and not is_marker(whole):
            kept.setdefault(whole, vocabulary[whole])
    return kept


def _cuts_alike(alphabet: Alphabet, ids: tuple[int, ...], made) -> bool:
    """Whether sentences become the same tokens, or have none here where the tokenizer says "unknown"."""
    unknown = {made.token_to_id(name) for name in ("[UNK]", "<unk>")} - {None}
    for text in TRIED:
        wanted = made.encode(" " + normal(text), add_special_tokens=False).ids
        try:
            if [ids[i] for i in encode(" " + normal(text), alphabet)] != wanted:
                return False
        except AlphabetError:
            if not unknown & set(wanted):
                return False
    return True


def _named(folder: Path, made) -> dict[str, int]:
    path = folder / "tokenizer_config.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected JSON ({error})") from None
    found = {}
    for name in ("mask_token", "pad_token"):
        token = table.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and made.token_to_id(token) is not None:
            found[name] = made.token_to_id(token)
    return found


def _letters() -> list[str]:
    """The 256 letters that stand for bytes."""
    return [*bytes_beyond_ascii(), *(as_bytes(chr(b)) for b in range(128))]
