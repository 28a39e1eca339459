"""The cost benchmark: its automata are what they are said to be, and a round of everything runs."""

import json

import torch

from benchmarks import constraint_cost
from benchmarks.overhead import Size


def test_the_automaton_of_molecules_closes_rings_and_branches():
    automaton = constraint_cost.molecules(2, 1, 12)
    atom, bond, opening, closing, first, second = 6, 0, 1, 2, 3, 4
    assert automaton.classes[0, [atom, bond, opening, closing, first, second]].tolist() == [0, 1, 2, 3, 4, 5]
    for accepted, word in (
        (True, [atom, first, bond, atom, second, atom, first, second]),
        (True, [atom, opening, bond, atom, closing, atom]),
        (False, [atom, first, atom]),
        (False, [atom, opening, atom, atom]),
        (False, [atom, opening, first, atom, closing, first]),
        (False, [atom, opening, atom, opening, atom, closing, closing]),
        (False, [atom, bond]),
    ):
        assert automaton.accepts(word) == accepted, word
    assert constraint_cost.molecules(7, 6, 64).states == 128 * 7 * 3 - 128 + 1  # "open" at depth 0 is the start alone


def test_a_round_of_all_cases(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        constraint_cost,
        "growth",
        lambda *arguments: [{"grows": "L", "value": 4, "mass": 1.0, "draw": 1.0, "weighted step": 1.0}],
    )
    size = Size(batch=2, length=6, vocabulary=16, width=16, depth=1, heads=1)
    monkeypatch.setattr(constraint_cost, "COMMITTED", 2)
    arguments = ["--threads", str(torch.get_num_threads()), "--repeats", "1", "--out", str(tmp_path / "out.json")]
    results = constraint_cost.main([*arguments, "--plot", str(tmp_path / "growth.png")], size)
    ratios = {(row["automaton"], row["task"]): row["of_bf16"] for row in results["ratios"]}
    assert ratios["bf16", ""] == 1
    assert len(ratios) == 2 + 3 * 3
    assert all(ratio > 0 for ratio in ratios.values())
    assert json.loads((tmp_path / "out.json").read_text())["ratios"] == results["ratios"]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "molecules 7, 6" in capsys.readouterr().out
