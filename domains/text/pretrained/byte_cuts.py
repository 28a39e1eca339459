r"""Where tokenizers cut a text before their byte pairs are merged: published models have cuts of their own.

An alphabet's name says which, "text-bpe-llama" say; "text-bpe" cuts as GPT-2.
"""

from typing import Any

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CUTS = {
    "qwen": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}",
    "llama": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}",
}
NAMES = ("text-bpe", *(f"text-bpe-{cut}" for cut in CUTS))


def pre_tokenizer(name: str) -> Any:
    """That of an alphabet of this name, None for GPT-2's."""
    pattern = CUTS.get(name.removeprefix("text-bpe-"))
    if pattern is None:
        return None
    from tokenizers import Regex, pre_tokenizers

    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_alone])
