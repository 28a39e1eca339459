"""Texts come back from their tokens, in every alphabet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from domains.text.tokens import (
    alphabet_of,
    begins_word,
    decode,
    encode,
    is_marker,
    kind_of,
    normal,
    read_tokenizer,
    spelled,
    train_bpe,
)
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConfigError

TEXTS = ["The Mill is a cheap pub.", "It's near the river; prices start at £20 (or less)!", "the the the river"]
WORDS = alphabet_of(TEXTS, "words", 1, ("[food]",))
FEW = alphabet_of(TEXTS, "words", 3)
CHARACTERS = alphabet_of(TEXTS, "characters")
BYTES = alphabet_of([], "bytes", markers=("[food]",))
PAIRS = train_bpe(TEXTS * 20, 300, ("[food]",))
LETTERS = "".join(sorted({c for text in TEXTS for c in text}))


@pytest.mark.parametrize("alphabet", [WORDS, FEW, CHARACTERS, BYTES, PAIRS], ids=lambda a: f"{a.name}-{len(a)}")
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back(text, alphabet):
    ids = encode(" " + text, alphabet)
    assert decode(alphabet.decode_tokens(ids), alphabet) == text


@given(st.text(alphabet=LETTERS, max_size=40).map(normal))
def test_any_text_of_known_characters_comes_back_from_words(text):
    ids = encode(" " + text, FEW) if text else []
    assert decode(FEW.decode_tokens(ids), FEW) == text


@given(st.text(max_size=30).map(normal))
def test_any_text_at_all_comes_back_from_bytes_and_byte_pairs(text):
    for alphabet in (BYTES, PAIRS):
        assert decode(alphabet.decode_tokens(encode(" " + text, alphabet)), alphabet) == text


def test_a_word_is_one_token_and_a_rare_one_is_spelled():
    assert FEW.decode_tokens(encode(" the river", FEW)) == [" the", *spelled(" river")]
    assert spelled(" river") == [" r", "i", "v", "e", "r"]
    assert WORDS.decode_tokens(encode(" It's £20.", WORDS)) == [" It's", " £", "20", "."]


def test_what_begins_a_word():
    assert [t for t in [" the", "the", " .", ".", " £", "20", " 20", "[food]"] if begins_word(t)] == [" the", " 20"]


def test_an_unknown_character_is_marked():
    with pytest.raises(AlphabetError, match=r"character 5: '日' is not among the model's characters") as caught:
        encode(" the日", WORDS)
    assert str(caught.value).splitlines()[2].index("^") == 2 + 4


def test_bytes_that_are_no_text_become_a_replacement_character():
    ids = encode("é", BYTES)
    assert len(ids) == 2
    assert decode(BYTES.decode_tokens(ids[:1]), BYTES) == "�"


def test_markers_are_kept_apart_from_text():
    assert is_marker("[food]") and not is_marker("[Food]") and not is_marker(" [food]")
    for alphabet in (BYTES, PAIRS):
        assert alphabet.ids["[food]"] not in encode(" the [food]", alphabet)


def test_byte_pairs_merge_as_the_library_does(tmp_path):
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(TEXTS * 20, trainers.BpeTrainer(vocab_size=320, initial_alphabet=letters, show_progress=False))
    learner.save(str(tmp_path / "tokenizer.json"))
    read = read_tokenizer(str(tmp_path / "tokenizer.json"))
    assert kind_of(read) == "bpe" and len(read) == learner.get_vocab_size() > 280
    for text in [*TEXTS, " rivers and mills", "£££ 2020"]:
        assert read.decode_tokens(encode(text, read)) == learner.encode(text).tokens
    assert len(encode(TEXTS[0], read)) < len(TEXTS[0].encode())


def test_other_tokenizers_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"is no tokenizer\.json"):
        read_tokenizer(str(path))
    Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a")).save(str(path))
    with pytest.raises(ConfigError, match="expected byte-level BPE"):
        read_tokenizer(str(path))


def test_an_alphabet_of_another_domain_is_refused():
    with pytest.raises(AlphabetError, match="expected an alphabet of text"):
        encode("a", Alphabet("smiles", ("a",)))
    with pytest.raises(ConfigError, match="expected one of words, characters"):
        alphabet_of(TEXTS, "syllables")
