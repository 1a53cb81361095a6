"""What was counted before the walk stood in one place: 240 random networks, to the last integer.

A row of recorded.json: id, parameters, MACs, attention MACs, bytes of activations at their peak in fp32; of
the first ones also a digest of the parameters' names in order, and a sum over their initial weights that
depends on the order in which these are made. Six peaks were too high and are now what was measured: relu
attention beside a feed-forward of ratio 1.
"""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from space.prices.macs import price
from space.prices.memory import peak_activation_bytes
from space.unet import UNet
from tests.space.examples import example

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())


def test_ids_and_prices_are_as_recorded() -> None:
    for number, (name, *figures) in enumerate(RECORDED):
        a = example(number)
        assert (number, a.id, [*price(a), peak_activation_bytes(a)]) == (number, name, figures[:4])


def test_names_and_initial_weights_are_as_recorded() -> None:
    built = [(number, row[5], row[6]) for number, row in enumerate(RECORDED) if len(row) > 5]
    assert len(built) == 48
    for number, names, weights in built:
        torch.manual_seed(0)
        parameters = list(UNet(example(number)).named_parameters())
        digest = hashlib.sha256("\n".join(name for name, _ in parameters).encode()).hexdigest()
        in_order = sum(
            place * parameter.detach().double().abs().sum().item()
            for place, (_, parameter) in enumerate(parameters, 1)
        )
        assert (number, digest[:12]) == (number, names)
        assert in_order == pytest.approx(weights, rel=1e-6), number
