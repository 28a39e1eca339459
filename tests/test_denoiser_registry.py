"""Networks from tables of plain values, and back; what is wrong in a table is named."""

import pytest
import torch
from test_denoisers import CASES, SIZE

from seqdiff.denoisers.registry import DENOISERS, denoiser_from_config, denoiser_to_config
from seqdiff.errors import ConfigError


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_comes_back(name):
    model = denoiser_from_config({**SIZE, **CASES[name]})
    again = denoiser_from_config(denoiser_to_config(model))
    assert type(again) is type(model)
    assert again.config == model.config
    assert type(again.config) is DENOISERS[CASES[name]["kind"]][1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "lstm"}, "denoiser: expected kind 'transformer', 'unet', .*; got 'lstm'"),
        ({}, "denoiser: expected kind .*; got None"),
        ({"kind": "unet", "depht": 3}, "denoiser.depht: unknown key; expected one of vocabulary, width"),
        ({"kind": "transformer", "levels": 3}, "denoiser.levels: unknown key"),
        ({"kind": "unet", "levels": "two"}, "denoiser.levels: expected int, got 'two'"),
        ({"kind": "unet", "levels": 0}, "model.levels: expected at least 1, got 0"),
        ({"kind": "unet", "kernel": 4}, "model.kernel: expected an odd width, got 4"),
        ({"kind": "transformer", "labels": -1}, "model.labels: expected 0 or more, got -1"),
        ({"kind": "encoder-decoder", "max_length": -1}, "model.max_length: expected 0 or more, got -1"),
        ({"kind": "transformer", "self_condition": True}, "model.self_condition: expected an input_width"),
        ({"kind": "causal", "edges": True}, "model.edges: expected none in a causal model, got True; leave it out"),
        ({"kind": "causal", "time_input": True}, "model.time_input: expected none in a causal model"),
    ],
)
def test_a_bad_configuration_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        denoiser_from_config({**SIZE, **config})


def test_what_no_kind_describes_has_no_configuration():
    with pytest.raises(ConfigError, match="got a Linear"):
        denoiser_to_config(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
