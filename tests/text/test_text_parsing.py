"""The parser: corpora, training that goes on where it was killed, trees against enumeration, constituents, cut texts."""

import itertools
import lzma
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from domains.text.parsing import train as training
from domains.text.parsing.constituents import constituents
from domains.text.parsing.corpus import Sentence, read_conllu, read_masc
from domains.text.parsing.measure import measure
from domains.text.parsing.network import NetworkConfig
from domains.text.parsing.parser import Parser, Tree, best_tree
from domains.text.parsing.reading import read, sentences
from seqdiff.errors import CheckpointError, ConfigError, TrainingError
from seqdiff.training.config import OptimizerConfig

MASC = "# doc one\nThe_DT dog_NN runs_VBZ ._. \nA_DT cat_NN watches_VBZ the_DT dogs_NNS ._. \n"
UD = """# text = x
1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdog\tdog\tNOUN\tNN\t_\t3\tnsubj\t_\t_
2.1\tx\tx\tX\tX\t_\t_\t_\t_\t_
3\truns\trun\tVERB\tVBZ\t_\t0\troot\t_\t_

"""


def sentence(text: str) -> Sentence:
    """From word/UPOS/PENN/head/relation."""
    words, upos, penn, heads, relations = zip(*(item.split("/") for item in text.split()), strict=True)
    return Sentence(words, penn, upos, tuple(map(int, heads)), relations)


TREEBANK = [
    sentence("the/DET/DT/2/det dog/NOUN/NN/3/nsubj runs/VERB/VBZ/0/root ./PUNCT/./3/punct"),
    sentence("a/DET/DT/3/det big/ADJ/JJ/3/amod cat/NOUN/NN/4/nsubj sees/VERB/VBZ/0/root it/PRON/PRP/4/obj"),
    sentence("he/PRON/PRP/2/nsubj runs/VERB/VBZ/0/root by/ADP/IN/5/case the/DET/DT/5/det sea/NOUN/NN/2/obl"),
]


def test_corpora_are_read(tmp_path):
    (tmp_path / "masc.txt").write_text(MASC)
    (tmp_path / "dev.conllu.xz").write_bytes(lzma.compress(UD.encode()))
    first, second = read_masc(tmp_path / "masc.txt")
    assert first == Sentence(("The", "dog", "runs", "."), ("DT", "NN", "VBZ", ".")) and second.penn[2] == "VBZ"
    (found,) = read_conllu(tmp_path / "dev.conllu.xz")
    assert found == Sentence(
        ("The", "dog", "runs"), ("DT", "NN", "VBZ"), ("DET", "NOUN", "VERB"), (2, 3, 0), ("det", "nsubj", "root")
    )
    (tmp_path / "bad.conllu").write_text("1\tThe\tthe\n")
    with pytest.raises(ConfigError, match="is not CoNLL-U: expected a word of ten columns"):
        list(read_conllu(tmp_path / "bad.conllu"))
    with pytest.raises(ConfigError, match="could not read"):
        list(read_masc(tmp_path / "none.txt.xz"))


class Killed(Exception):
    pass


def test_it_learns_and_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    for name, value in (("EVERY", 20), ("WARMUP", 5), ("OPTIMIZER", OptimizerConfig("adamw", lr_rest=1e-2, ema=0.9))):
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr(training, "NetworkConfig", partial(NetworkConfig, width=32, hidden=32, arc=32, label=16, dropout=0.1))
    corpus = TREEBANK * 4

    def killed(line):
        raise Killed

    with pytest.raises(Killed):
        training.train(corpus, tmp_path / "broken", 60, report=killed)
    broken, _ = training.train(corpus, tmp_path / "broken", 60, report=lambda line: None)
    whole, figures = training.train(corpus, tmp_path / "whole", 60, report=lambda line: None)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, broken.network.state_dict()[name]), name
    with pytest.raises(TrainingError, match="belongs to a run of another treebank or seed"):
        training.train(corpus[::-1], tmp_path / "whole", 60)
    assert figures["sentences"] == 12 and figures["words"] == 56
    measured = measure(whole, TREEBANK)
    assert measured["words"] == 14 and [measured[key] for key in ("upos", "tags", "uas", "las")] == [1, 1, 1, 1]
    assert measured["phrases"] == {"NP": 1, "PP": 1, "VP": 1, "S": 1, "ADJP": 1, "ADVP": 0}
    whole.save(tmp_path / "model", figures)
    loaded = Parser.load(tmp_path / "model")
    (tree,) = loaded.parse([TREEBANK[2].words])
    assert tree == Tree(TREEBANK[2].words, ("PRON", "VERB", "ADP", "DET", "NOUN"), *_gold(TREEBANK[2]))
    wrong = replace(TREEBANK[0], heads=(3, 3, 0, 3), relations=("dep", "nsubj", "root", "dep"))
    found = measure(loaded, [wrong])
    assert [found[key] for key in ("upos", "tags", "uas", "las")] == [1, 1, 0.75, 0.5]
    assert found["phrases"]["NP"] == 0 and found["phrases"]["S"] == 1
    with (tmp_path / "model" / "parser.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x07")
    with pytest.raises(CheckpointError, match="holds no parser"):
        Parser.load(tmp_path / "model")


def _gold(s: Sentence):
    return s.upos, s.heads, s.relations


def test_an_epoch_has_every_sentence_once_in_batches_of_equal_length(monkeypatch):
    monkeypatch.setattr(training, "BATCH", 20)
    lengths = np.array([3, 5, 3, 30, 5, 5, 5, 5, 3])
    made = training.batches(lengths, 0, 0)
    assert sorted(np.concatenate(made)) == list(range(9))
    assert all(len(set(lengths[rows])) == 1 and (len(rows) == 1 or lengths[rows].sum() <= 20) for rows in made)
    assert [list(r) for r in made] == [list(r) for r in training.batches(lengths, 0, 0)]
    assert [list(r) for r in made] != [list(r) for r in training.batches(lengths, 0, 1)]


def test_the_best_tree_is_that_of_enumeration():
    generator = np.random.default_rng(0)
    for _ in range(150):
        n = int(generator.integers(1, 5))
        scores = generator.normal(size=(n, n + 1)) * 3
        trees = [heads for heads in itertools.product(range(n + 1), repeat=n) if _is_tree(heads)]
        best = max(trees, key=lambda heads: sum(scores[i, h] for i, h in enumerate(heads)))
        assert tuple(best_tree(scores)) == best
    assert _is_tree(best_tree(generator.normal(size=(40, 41))))


def _is_tree(heads) -> bool:
    for word in range(1, len(heads) + 1):
        seen = set()
        while word and word not in seen:
            seen.add(word)
            word = heads[word - 1]
        if word:
            return False
    return sum(head == 0 for head in heads) == 1


def phrases(text: str) -> dict[str, set[str]]:
    """Kind → phrases of a sentence in the notation of `sentence`."""
    s = sentence(text)
    found: dict[str, set[str]] = {}
    for kind, i, j in constituents(Tree(s.words, (), s.upos, s.heads, s.relations)):
        found.setdefault(kind, set()).add(" ".join(s.words[i : j + 1]))
    return found


def test_constituents_of_a_tree():
    found = phrases(
        "The/DET/DT/3/det cheap/ADJ/JJ/3/amod pub/NOUN/NN/7/nsubj near/ADP/IN/6/case the/DET/DT/6/det river/NOUN/NN/3/nmod "
        "serves/VERB/VBZ/0/root very/ADV/RB/9/advmod good/ADJ/JJ/10/amod food/NOUN/NN/7/obj and/CCONJ/CC/12/cc "
        "wine/NOUN/NN/10/conj ./PUNCT/./7/punct"
    )
    assert found["NP"] == {
        "The cheap pub near the river", "The cheap pub", "the river", "very good food", "very good food and wine", "wine",
    }  # fmt: skip
    assert found["PP"] == {"near the river"} and found["ADVP"] == {"very"} and found["ADJP"] == {"cheap", "very good"}
    assert found["VP"] == {"serves very good food and wine"}
    clause = "The cheap pub near the river serves very good food and wine"
    assert found["S"] == {clause, clause + " ."}
    assert found["nsubj"] == {"The cheap pub near the river"} and found["obj"] == {"very good food and wine"}
    assert "root" not in found and "punct" not in found


def test_a_copula_and_auxiliaries_begin_a_verb_phrase():
    found = phrases(
        "It/PRON/PRP/4/nsubj is/AUX/VBZ/4/cop a/DET/DT/4/det pub/NOUN/NN/0/root "
        ",/PUNCT/,/4/punct near/ADP/IN/7/case it/PRON/PRP/4/nmod"
    )
    assert found["VP"] == {"is a pub , near it"} and found["NP"] == {"It", "a pub", "a pub , near it", "it"}
    found = phrases(
        "They/PRON/PRP/4/nsubj have/AUX/VBP/4/aux been/AUX/VBN/4/aux:pass asked/VERB/VBN/0/root "
        "to/PART/TO/6/mark eat/VERB/VB/4/xcomp"
    )
    assert found["VP"] == {"have been asked to eat", "been asked to eat", "asked to eat", "to eat", "eat"}
    assert found["aux:pass"] == {"been"} and found["aux"] == {"have", "been"} and found["S"] == {"They have been asked to eat"}


def test_what_stands_apart_is_no_constituent():
    found = phrases("A/DET/DT/2/det hearing/NOUN/NN/3/nsubj begins/VERB/VBZ/0/root on/ADP/IN/5/case it/PRON/PRP/2/nmod")
    assert "A hearing begins on it" not in found["NP"] and found["NP"] == {"A hearing", "it"}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("The Mill isn't cheap.", ["The:1 Mill:2 is:3 n't:3 cheap:4 .:5"]),
        (
            "It's £4.50... I can't; we cannot!",
            ["It:1 's:1 £:2 4.50:3-5 ...:6-8", "I:9 ca:10 n't:10 ;:11 we:12 can:13 not:13 !:14"],
        ),
        ('He said "go." They did.', ['He:1 said:2 ":3 go:4 .:5 ":6', "They:7 did:8 .:9"]),
        ("10,000 people, 5.", ["10,000:1-3 people:4 ,:5 5:6 .:7"]),
        ("family-friendly 🙂\n日本", ["family:1 -:2 friendly:3 🙂:4 日本:5"]),
    ],
)
def test_texts_are_cut_as_the_treebank_is(text, pieces):
    words, found = sentences(text)
    said = [" ".join(f"{p.text}:{p.first}" + f"-{p.last}" * (p.last > p.first) for p in sentence) for sentence in found]
    assert said == pieces
    assert len(words) == (found[-1][-1].last if found else 0)


def test_long_sentences_are_read_in_parts():
    words, found = sentences("word " * 300)
    assert len(words) == 300 and [len(sentence) for sentence in found] == [120, 120, 60]


def test_constituents_of_texts_have_the_numbers_of_words():
    class Fixed(Parser):
        def __init__(self):
            pass

        def parse(self, sentences):
            heads: dict[tuple[str, ...], tuple[int, ...]] = {("It", "'s", "4.50"): (3, 3, 0), ("Go", "on", "."): (0, 1, 1)}
            return [
                Tree(tuple(s), ("PRON", "VERB", "NUM"), ("PRON", "AUX", "NUM"), heads[tuple(s)], ("nsubj", "cop", "root"))
                if s[0] == "It"
                else Tree(
                    tuple(s),
                    ("VERB", "PRT", "PUNCT"),
                    ("VERB", "ADP", "PUNCT"),
                    heads[tuple(s)],
                    ("root", "compound:prt", "punct"),
                )
                for s in sentences
            ]

    one, two = read(["It's 4.50", "Go on."], Fixed())
    assert one.words == ("It's", "4", ".", "50") and one.tags == ["PRON", "NUM", "NUM", "NUM"]
    assert one.spans == {("NP", 2, 4), ("S", 1, 4)}  # It and 's are one word, so neither the subject nor the verb phrase is
    assert two.spans == {("VP", 1, 2), ("compound:prt", 2, 2), ("compound", 2, 2)}
