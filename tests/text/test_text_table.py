"""Figures as Markdown: every number in its column, a dash where there is none."""

from benchmarks.text_table import page


def cell(model: str, way: str, **figures) -> dict:
    return {"task": "fields", "model": model, "way": way, "asked": 4, **figures}


def test_numbers_stand_under_their_headings():
    cells = [
        cell("people", "held out", success=1.0, whole=1.0, judge=1.994, passes=0.0),
        cell("tiny", "constrained", success=0.5, whole=0.5, judge=None, passes=12.4),
    ]
    task = {"task": "infilling", "model": "tiny", "way": "constrained", "asked": 4, "bleu": 8.71, "rouge_l": 0.25}
    beside = {"infilling": {"Diffusion-LM BLEU-4": 7.1, "Diffusion-LM ROUGE-L": 0.283}}
    infilled = page([{"published": beside, "cells": [task]}]).splitlines()
    assert infilled[-2:] == ["| tiny, constrained | 8.7 | 0.250 | 4 |", "| Diffusion-LM, published | 7.1 | 0.283 | |"]
    read = {"task": "read", "model": "tiny", "way": "unread", "fields": 7, "right": 0.25, "valid": 1.0}
    lines = page([{"published": {"fields": {"FUDGE": 0.699}}, "cells": cells}, {"published": {}, "cells": [read]}]).splitlines()
    assert lines[2:7] == [
        "| | success % | judge, nats a word | passes | texts |",
        "| --- | --- | --- | --- | --- |",
        "| texts of people | 100.0 | 1.99 | – | 4 |",
        "| tiny, constrained | 50.0 | – | 12 | 4 |",
        "| FUDGE, published | 69.9 | | | |",
    ]
    assert lines[-1] == "| tiny, unread | 25.0 | 100.0 | 7 |"
