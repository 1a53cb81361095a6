"""Stages left out or copied: what remains by hand, that one left out is the identity, and whose weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.levels import Level, Middle
from space.paths import RobustPaths
from space.prices.parts import counted_parts
from space.proxy import Proxy
from space.shared.plain import InputError
from space.subnet import NamedUnit, Subnet, origin
from space.supernet import Supernet
from space.unet import UNet
from tests.space.price_lists import made_list

NETWORK = Architecture(
    levels=(
        Level(8, "full", (1, 0), (0, 1, 0), cross_attention=True),
        Level(16, "separable", (2, 1), (1, 2, 1), self_attention=True, cross_attention=True),
    ),
    middle=Middle((1, 0), cross_attention=False),
    head_width=4,
    norm_groups=4,
    time_width=16,
    latent_channels=4,
    latent_size=4,
    context_length=3,
    context_width=8,
)
WHOLE = Subnet.of(NETWORK)


def shape(network: Subnet) -> list[tuple[int, ...]]:
    a = network.architecture
    return [
        *(side for level in a.levels for side in (level.down, level.up)),
        a.middle.blocks if a.middle else (),
    ]


def test_what_can_be_left_out_in_the_order_of_the_forward_pass() -> None:
    assert WHOLE.architecture == NETWORK.simplified()
    assert WHOLE.stages == (
        "down-1/0/layer-0",
        "down-1/1",
        *("down-2/0/layer-0", "down-2/0/layer-1", "down-2/1", "down-2/1/layer-0"),
        *("middle/0/layer-0", "middle/1"),
        *("up-2/0/layer-0", "up-2/1/layer-0", "up-2/1/layer-1", "up-2/last/layer-0"),
        "up-1/1/layer-0",
    )


@pytest.mark.parametrize(
    ("action", "left"),
    [
        ("remove down-2/0/layer-1", [(1, 0), (0, 1, 0), (1, 1), (1, 2, 1), (1, 0)]),
        ("remove up-2/1/layer-0", [(1, 0), (0, 1, 0), (2, 1), (1, 1, 1), (1, 0)]),
        ("remove down-2/1", [(1, 0), (0, 1, 0), (3,), (3, 1), (1, 0)]),  # the layers join those before
        ("remove down-1/1", [(1,), (1, 0), (2, 1), (1, 2, 1), (1, 0)]),
        ("remove middle/1", [(1, 0), (0, 1, 0), (2, 1), (1, 2, 1), (1,)]),
        ("copy down-2/0/layer-1", [(1, 0), (0, 1, 0), (3, 1), (1, 2, 1), (1, 0)]),
        ("copy down-2/1", [(1, 0), (0, 1, 0), (2, 1, 0), (1, 0, 2, 1), (1, 0)]),
        ("copy middle/1", [(1, 0), (0, 1, 0), (2, 1), (1, 2, 1), (1, 0, 0)]),
    ],
)
def test_actions_by_hand_and_that_they_are_priced_as_the_difference(action: str, left: object) -> None:
    after = WHOLE.after([action])
    assert shape(after) == left
    prices = made_list([NETWORK, after.architecture])
    before, now = Counter(counted_parts([NETWORK])), Counter(counted_parts([after.architecture]))
    saved = sum(prices.part_ms(part) * (before[part] - now[part]) for part in {*before, *now})
    own = prices.milliseconds(NETWORK) - prices.milliseconds(after.architecture)
    assert own == pytest.approx(saved) and (own < 0) == action.startswith("copy")


def test_names_stay_and_copies_are_taken_back() -> None:
    moved = WHOLE.without("down-2/1")
    assert moved.units["down-2"] == (NamedUnit("0", ("0/layer-0", "0/layer-1", "1/layer-0")),)
    assert moved.units["up-2"][0] == NamedUnit("0", ("0/layer-0", "1/layer-0", "1/layer-1"))
    assert "down-2/1/layer-0" in moved.stages and "down-2/1" not in moved.stages
    for stage in WHOLE.stages:
        copied = WHOLE.with_copy(stage)
        (copy,) = set(copied.stages) - set(WHOLE.stages)
        assert copy == f"{stage}+1" and copied.without(copy) == WHOLE
        assert copied.with_copy(stage).without(copy, f"{stage}+2") == WHOLE
    everything = WHOLE.without(*WHOLE.stages)
    assert shape(everything) == [(0,), (0, 0), (0,), (0, 0), (0,)] and everything.stages == ()
    assert WHOLE.without(*reversed(WHOLE.stages)) == everything
    with pytest.raises(InputError, match=r"stage 'down-1/0' cannot be left out here; did you mean"):
        WHOLE.without("down-1/0")


def test_with_projections_a_block_goes_when_its_layers_have_gone() -> None:
    projected = Subnet.of(replace(NETWORK, stack_projection="conv"))
    assert "down-2/1" not in projected.stages and "down-1/1" not in projected.stages
    assert "middle/1" in projected.stages
    without_layers = projected.without("up-1/1/layer-0")
    assert "down-1/1" in without_layers.stages
    made = supernet(projected)
    made.choose(without_layers.without("down-1/1"))
    UNet(made.chosen).load_state_dict(made.weights())


# ---------------------------------------------------------------------- weights


def supernet(network: Subnet) -> Supernet:
    torch.manual_seed(0)
    made = Supernet([network])
    nn.init.normal_(made.shared["conv_out/weight"])
    return made


class Identity(nn.Module):
    """In the place of a layer or of a conv block, whose input on the way up ends in a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return x if x.ndim == 3 else x[:, : self.channels]


def with_identity(unet: UNet, stage: str) -> None:
    place, *names = stage.split("/")
    side, _, level = place.partition("-")
    units = {"down": WHOLE.units[place]}.get(side, WHOLE.units[place])
    parts = unet.middle if side == "middle" else None
    if parts is None:
        index = int(level) - 1 if side == "down" else len(NETWORK.levels) - int(level)
        parts = (unet.down if side == "down" else unet.up)[index].stages  # type: ignore[assignment]
    at = [unit.conv for unit in units].index(names[0])
    width = NETWORK.levels[int(level or len(NETWORK.levels)) - 1].channels
    if len(names) == 2:
        parts[at].stack.layers[int(names[1].removeprefix("layer-"))] = Identity(width)  # type: ignore
        return
    parts[at].conv = Identity(width)  # type: ignore[assignment]
    if side == "down":
        partner = unet.up[len(NETWORK.levels) - int(level)].stages[len(units) - at]  # type: ignore
        partner.conv = Identity(width)  # type: ignore[assignment]


@pytest.mark.parametrize("stage", WHOLE.stages)
def test_a_stage_left_out_is_the_identity_bit_for_bit(stage: str) -> None:
    made = supernet(WHOLE)
    unet = UNet(NETWORK)
    unet.load_state_dict(made.weights())
    given = torch.randn(2, 4, 4, 4), torch.tensor([3.0, 700.0]), torch.randn(2, 3, 8)
    with torch.no_grad():
        whole = unet(*given)
        assert torch.equal(made(*given), whole)
        with_identity(unet, stage)
        made.choose(WHOLE.without(stage))
        left = made(*given)
        assert torch.equal(left, unet(*given)) and not torch.equal(left, whole)


def test_whose_weights_a_copy_begins_with() -> None:
    known = dict(supernet(WHOLE).shared)
    copied = WHOLE.after(["copy down-2/1", "copy up-2/1/layer-0"])
    grown = dict(supernet(copied).shared)
    new = {tuple(name.split("/")[:3]) for name in grown.keys() - known.keys()}
    assert new == {
        ("down-2", "1+1", "separable"),
        ("up-2", "1+1", "separable"),
        ("up-2", "1", "layer-0+1"),
    }
    for name, parameter in grown.items():
        source = origin(name, known)
        assert parameter.shape == known[source].shape
        assert source == name.replace("/1+1/", "/1/").replace("layer-0+1/", "layer-0/")
    assert origin("up-2/1/layer-0+1+2/query/weight", ["..."]) == "up-2/1/layer-0+1/query/weight"


# ---------------------------------------------------------------------- robust training


def test_stages_run_with_their_probability_by_the_seed_alone() -> None:
    paths = RobustPaths(WHOLE, 0.8)
    steps = 300
    sampled = [set(paths.at(0, step).stages) for step in range(steps)]
    runs = sum(len(one) for one in sampled) / steps / len(WHOLE.stages)
    assert runs == pytest.approx(0.8, abs=0.03)  # 13 x 300: a deviation is .006, and pairs are one
    for stage in WHOLE.stages:
        assert 0.7 < sum(stage in one for one in sampled) / steps < 0.9
    assert [paths.at(0, step) for step in range(5)] == [RobustPaths(WHOLE, 0.8).at(0, s) for s in range(5)]
    assert [paths.at(1, step) for step in range(9)] != [paths.at(0, step) for step in range(9)]
    assert RobustPaths(WHOLE, 1.0).at(0, 0) == WHOLE and RobustPaths(WHOLE, 0.0).at(0, 0).stages == ()
    assert paths.identity(Proxy()) != RobustPaths(WHOLE, 0.7).identity(Proxy())
    assert paths.identity(Proxy()) != RobustPaths(WHOLE.without("middle/1"), 0.8).identity(Proxy())
