"""Weights that a whole space shares: what each architecture inherits, by hand and by its own forward pass."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture
from space.choices import LevelRanges, Space, UniformSuggestions
from space.corners import corners
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError
from space.supernet import Supernet
from space.unet import UNet

BASE = {"norm_groups": 2, "time_width": 6, "latent_channels": 3, "latent_size": 2, "context_width": 5}
PLAIN = Space({"level_1": LevelRanges((4, 8), blocks=(1, 2))}, base=BASE)
BOTH = (False, True)
TWO = Space(
    {
        "level_1": LevelRanges((8, 16), ("full", "separable"), layers_down=(0, 1), cross_attention=BOTH),
        "level_2": LevelRanges(
            (8, 12, 16), ("full", "separable"), (1, 2), (0, 1, 2), (0, 1), BOTH, BOTH
        ),  # may be as wide as what enters it: a shortcut or none
    },
    separable_expansion=(1, 3),
    separable_kernel=(3, 5, 7),
    feed_forward_ratio=(1, 2),
    shared_key_value=(True, False),
    activation=("swish", "gelu"),
    attention=("softmax", "relu"),
    base=BASE | {"latent_size": 4, "heads": 2, "head_width": None, "context_length": 3},
)
MIDDLE = {"blocks": [1, 0], "conv": "separable", "self_attention": True, "cross_attention": True}
FOUR = Space(
    {
        f"level_{number}": LevelRanges((4 * number, 4 * number + 4), blocks=(1, 2), layers_up=(0, 1))
        for number in (1, 2, 3)
    }
    | {"level_4": LevelRanges((16, 20, 24), ("separable", "full"), (1, 3), (1, 2), (1,), BOTH, BOTH)},
    base=BASE
    | {"latent_size": 8, "head_width": 4, "middle": MIDDLE, "stack_projection": "conv"}
    | {"context_length": 3, "guidance_width": 4},
)


def sampled(space: Space, count: int) -> list[Architecture]:
    chance = random.Random(0)
    return [space.sample(UniformSuggestions(chance)) for _ in range(count)]


def supernet(space: Space, proxy: Proxy | None = None) -> Supernet:
    """With weights of a size that no layer vanishes or explodes by, the last convolution among them."""
    torch.manual_seed(0)
    made = Supernet(corners(space), proxy)
    nn.init.normal_(made.shared["conv_out/weight"])
    return made


def inputs_of(architecture: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    size = architecture.latent_size
    latents = torch.randn(2, architecture.input_channels, size, size)
    return latents, torch.tensor([3.0, 700.0]), torch.randn(2, 3, architecture.context_width)


def check_inherited(space: Space, count: int) -> None:
    made = supernet(space)
    for architecture in sampled(space, count):
        made.choose(architecture)
        alone = UNet(architecture)
        alone.load_state_dict(made.weights())  # strict: every name, every shape
        given = inputs_of(architecture)
        with torch.no_grad():
            assert torch.equal(made(*given), alone(*given)), architecture.to_yaml()


@pytest.mark.parametrize("space", [TWO, FOUR], ids=["two levels", "four levels"])
def test_by_itself_with_inherited_weights_a_network_gives_the_same(space: Space) -> None:
    check_inherited(space, 4)


@pytest.mark.slow  # the same for hundreds
@pytest.mark.parametrize("space", [TWO, FOUR], ids=["two levels", "four levels"])
def test_hundreds_by_themselves_give_the_same(space: Space) -> None:
    check_inherited(space, 300)


def test_totals_by_hand() -> None:
    """Time 8-6-6, convolutions in and out with its norm, two blocks down (8 to 8), three up (16 to 8)."""
    around = (8 * 6 + 6 + 6 * 6 + 6) + (3 * 8 * 9 + 8) + 2 * 8 + (8 * 3 * 9 + 3)
    down = 2 * 8 + (8 * 8 * 9 + 8) + (6 * 8 + 8) + 2 * 8 + (8 * 8 * 9 + 8)
    up = 2 * 16 + (16 * 8 * 9 + 8) + (6 * 8 + 8) + 2 * 8 + (8 * 8 * 9 + 8) + (16 * 8 + 8)
    assert held(Supernet(corners(PLAIN))) == around + 2 * down + 3 * up
    # of both kinds: depthwise and norm, to 4 x 8 and back, time, and on the way up a shortcut
    down_too = (8 * 9 + 8) + 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8) + (6 * 8 + 8)
    up_too = (16 * 9 + 16) + 2 * 16 + (16 * 32 + 32) + (32 * 8 + 8) + (6 * 8 + 8) + (16 * 8 + 8)
    level = replace(PLAIN.levels["level_1"], conv=("full", "separable"))
    both = replace(PLAIN, levels={"level_1": level}, separable_expansion=(2, 4))
    assert held(Supernet(corners(both))) == around + 2 * (down + down_too) + 3 * (up + up_too)


def held(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_largest_inherits_all_where_no_choice_excludes_another() -> None:
    made = Supernet(corners(PLAIN))
    assert (made.largest.levels[0].channels, len(made.largest.levels[0].down)) == (8, 2)
    assert price(made.largest).parameters == held(made)
    shared = {id(parameter) for parameter in made.parameters()}
    assert {id(weight) for weight in made.weights().values()} == shared  # themselves: nothing is cut


@pytest.mark.parametrize("space", [TWO, FOUR], ids=["two levels", "four levels"])
def test_gradients_reach_the_slices_and_nothing_else(space: Space) -> None:
    """Each shared number is used once or not at all, and as many as the network has parameters."""
    made = supernet(space)
    for architecture in sampled(space, 2):
        made.choose(architecture)
        made.zero_grad()
        torch.stack([weight.sum() for weight in made.weights().values()]).sum().backward()
        uses = {name: given(parameter.grad, parameter) for name, parameter in made.shared.items()}
        assert {float(use) for used in uses.values() for use in used.unique()} <= {0.0, 1.0}
        assert sum(int(used.sum()) for used in uses.values()) == price(architecture).parameters
        made.zero_grad()
        made(*inputs_of(architecture)).square().sum().backward()
        for name, parameter in made.shared.items():
            assert not given(parameter.grad, parameter)[uses[name] == 0].any(), name
        assert given(made.shared["conv_in/weight"].grad, made.shared["conv_in/weight"]).any()


def given(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def numbered(made: Supernet, name: str) -> Tensor:
    """A shared weight of which every number says its place."""
    parameter = made.shared[name]
    with torch.no_grad():
        parameter.copy_(torch.arange(parameter.numel()).view(parameter.shape))
    return parameter.detach()


def test_what_each_choice_takes() -> None:
    """Eight of 16 channels, 2 heads (4 of 8 each), ratio 1 of 2, a kernel of 3 in the middle of 7."""
    made = Supernet(corners(TWO))
    query = numbered(made, "down-2/0/layer-0/self_attention/query/weight")  # 16 x 16
    expand = numbered(made, "down-2/0/layer-0/feed_forward/expand/weight")  # 2 x 2 x 16, 16
    depthwise = numbered(made, "up-2/0/separable/depthwise/weight")  # 16 from below, 16 skipped to
    last = numbered(made, "up-2/last/separable/norm/weight")
    time = numbered(made, "time/0/weight")
    choices = {name: values[0] for name, values in TWO.choices()} | {
        "level_1.channels": 8,
        "level_2.channels": 8,
        "level_2.conv": "separable",
        "level_2.layers_down": 1,
        "level_2.self_attention": True,
    }
    made.choose(TWO.architecture(choices))
    taken = made.weights()
    layer = "down.1.stages.0.stack.layers.0"
    assert torch.equal(taken[f"{layer}.self_attention.query.weight"], query[[0, 1, 2, 3, 8, 9, 10, 11], :8])
    rows = [*range(8), *range(32, 40)]
    assert torch.equal(taken[f"{layer}.feed_forward.expand.weight"], expand[rows, :8])
    both = [*range(8), *range(16, 24)]
    assert torch.equal(taken["up.0.stages.0.conv.depthwise.weight"], depthwise[both, :, 2:5, 2:5])
    assert torch.equal(taken["up.0.stages.1.conv.norm.weight"], last[both])
    assert torch.equal(taken["time.0.weight"], time[:, [0, 1, 2, 3, 8, 9, 10, 11]])


def test_a_space_s_corners_are_few_and_under_a_proxy_alike() -> None:
    """A shortcut is there although the largest has none: both its levels are 16 wide."""
    assert len(corners(TWO)) <= 3 * 17  # widths as they are or one narrower, times a switch at each value
    wide = replace(TWO, base=BASE | {"latent_size": 4, "head_width": 4, "time_width": 32, "norm_groups": 2})
    narrowed = Supernet(corners(wide), Proxy(width_divisor=2, heads=2))
    shapes = {name: tuple(parameter.shape) for name, parameter in narrowed.shared.items()}
    assert shapes["down-2/0/full/shortcut/weight"] == (8, 8, 1, 1)
    assert shapes["time/2/weight"] == (16, 16)
    architecture = sampled(wide, 1)[0]
    narrowed.choose(architecture)
    UNet(narrow(architecture, narrowed.proxy)).load_state_dict(narrowed.weights())


def test_it_begins_as_the_modules_themselves_do() -> None:
    torch.manual_seed(0)
    made = Supernet(corners(TWO))
    weight, bias = made.shared["down-1/0/full/conv1/weight"], made.shared["down-1/0/full/conv1/bias"]
    bound = (16 * 9) ** -0.5
    for parameter in (weight.detach(), bias.detach()):
        assert 0.5 * bound < float(parameter.abs().max()) <= bound
    assert not made.shared["conv_out/weight"].any() and not made.shared["conv_out/bias"].any()
    assert bool((made.shared["conv_out/norm_out/weight"] == 1).all())
    assert not made.shared["down-1/0/full/norm1/bias"].any()


def test_an_architecture_of_another_space_is_refused() -> None:
    made = Supernet(corners(PLAIN))
    wider = replace(PLAIN, levels={"level_1": LevelRanges((16,), blocks=(1,))})
    with pytest.raises(InputError, match=r"time\.0\.weight is larger than any of this supernet's"):
        made.choose(wider.first)
    separable = replace(PLAIN, levels={"level_1": LevelRanges((4,), ("separable",))})
    with pytest.raises(InputError, match=r"down\.0\.stages\.0\.conv\.depthwise\.weight"):
        made.choose(separable.first)


def test_added_conditions_are_held_whole() -> None:
    """SDXL's, which nothing trains here: their embedding is the same for all."""
    space = replace(PLAIN, base=BASE | {"pooled_width": 4, "size_embeddings": 2})
    made = Supernet(corners(space))
    assert made.shared["added/0/weight"].shape == (6, 4 + 2 * SIZE_EMBEDDING_WIDTH)
