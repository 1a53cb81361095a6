"""The module that an architecture builds: shapes, what conditions it, and where gradients reach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from space.architecture import Architecture, Level
from space.blocks import Attention
from space.kinds.stage import AttentionKind
from space.prices.counters import example_inputs, parameter_count
from space.unet import UNet
from tests.space.strategies import architectures

ARCH = Path(__file__).parents[2] / "conf" / "arch"
TINY = Architecture(
    levels=(
        Level(8, "full", (0,), (0, 0)),
        Level(12, "separable", (1,), (1, 0), self_attention=True, cross_attention=True),
    ),
    head_width=4,
    norm_groups=4,
    time_width=16,
    latent_channels=3,
    latent_size=6,
    context_length=5,
    context_width=7,
)


def noise_like(inputs: tuple[Tensor, ...], seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(tensor.shape, generator=generator) for tensor in inputs)


def awake(architecture: Architecture, seed: int = 0) -> UNet:
    """A network whose output convolution no longer holds zeros."""
    torch.manual_seed(seed)
    network = UNet(architecture).eval()
    torch.nn.init.normal_(network.conv_out.weight)
    return network


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(architectures())
def test_an_untrained_network_predicts_zero_in_the_shape_of_its_input(architecture: Architecture) -> None:
    inputs = noise_like(example_inputs(architecture, batch=2))
    out = UNet(architecture)(*inputs)
    assert out.shape == (2, architecture.latent_channels, *inputs[0].shape[2:])
    assert out.abs().max() == 0


def test_other_sizes_than_the_stated_one_run_too() -> None:
    latents, time, context = noise_like(example_inputs(TINY))
    assert awake(TINY)(torch.randn(1, 3, 4, 10), time, context).shape == (1, 3, 4, 10)
    assert awake(TINY)(latents, time, torch.randn(1, 9, 7)).shape == latents.shape


def test_images_of_a_batch_do_not_mix() -> None:
    network, inputs = awake(TINY), noise_like(example_inputs(TINY, batch=3))
    together = network(*inputs)
    for index in range(3):
        alone = network(*(tensor[index : index + 1] for tensor in inputs))
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cross", [True, False])
def test_the_text_matters_only_through_cross_attention(cross: bool) -> None:
    levels = (TINY.levels[0], replace(TINY.levels[1], cross_attention=cross))
    network = awake(replace(TINY, levels=levels))
    latents, time, context = noise_like(example_inputs(TINY))
    first, second = network(latents, time, context), network(latents, time, context + 1.5)
    assert torch.equal(first, second) is not cross


def test_the_time_matters() -> None:
    network, (latents, time, context) = awake(TINY), noise_like(example_inputs(TINY))
    assert not torch.equal(network(latents, time, context), network(latents, time + 100, context))


def test_added_conditions_matter_and_must_be_passed() -> None:
    a = replace(TINY, pooled_width=4, size_embeddings=2)
    network, inputs = awake(a), noise_like(example_inputs(a))
    base = network(*inputs)
    for index in (3, 4):
        changed = [tensor + (2.0 if position == index else 0.0) for position, tensor in enumerate(inputs)]
        assert not torch.equal(base, network(*changed))
    with pytest.raises(ValueError, match="pass both"):
        network(*inputs[:3])


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(architectures(most_levels=3))
def test_gradients_reach_every_parameter(architecture: Architecture) -> None:
    network = awake(architecture).train()
    inputs = noise_like(example_inputs(architecture, batch=2))
    network(*inputs).square().mean().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def plain_attention(module: Attention, x: Tensor, source: Tensor) -> Tensor:
    """Head by head, with loops and no fused kernel."""
    value_weight = module.key.weight if module.value is None else module.value.weight
    query, key, value = x @ module.query.weight.T, source @ module.key.weight.T, source @ value_weight.T
    heads = []
    for q, k, v in zip(*(t.chunk(module.heads, dim=-1) for t in (query, key, value)), strict=True):
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        relu = scores.clamp(min=0) / source.shape[1]
        heads.append((relu if module.kind == "relu" else scores.softmax(-1)) @ v)
    return torch.cat(heads, dim=-1) @ module.out.weight.T + module.out.bias


@pytest.mark.parametrize("kind", ["softmax", "relu"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("source", [None, 6])
def test_attention_equals_a_plain_formula(kind: str, shared: bool, source: int | None) -> None:
    torch.manual_seed(0)
    module = Attention(8, 2, source, shared, kind)  # type: ignore[arg-type]
    x = torch.randn(2, 5, 8)
    context = None if source is None else torch.randn(2, 3, source)
    expected = plain_attention(module, x, x if context is None else context)
    torch.testing.assert_close(module(x, context), expected, rtol=1e-5, atol=1e-6)


class Operators(TorchDispatchMode):
    """The names of those that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function.__name__.partition(".")[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("kind", "expected"), [("softmax", ["flash"]), ("relu", ["relu"])])
def test_softmax_is_one_fused_operator_and_relu_never_becomes_it(
    kind: AttentionKind, expected: list[str]
) -> None:
    with torch.no_grad(), Operators() as seen:
        Attention(8, 2, None, False, kind)(torch.randn(2, 5, 8))
    found = {"_scaled_dot_product_flash_attention_for_cpu": "flash", "_softmax": "softmax", "relu": "relu"}
    assert [found[name] for name in seen.names if name in found] == expected


def test_shared_key_and_value_is_one_projection() -> None:
    def projections(a: Architecture) -> list[str]:
        return [name for name in UNet(a).state_dict() if ".self_attention.value" in name]

    assert projections(TINY) == []
    assert len(projections(replace(TINY, shared_key_value=False))) == 2
    cross = [name for name in UNet(TINY).state_dict() if ".cross_attention.value" in name]
    assert len(cross) == 2  # cross-attention keeps its own


def test_names_of_the_weights_are_stable() -> None:
    """Checkpoints depend on them: a change here is a change of format."""
    a = Architecture(
        levels=(Level(4, "separable", (1,), (0, 0), cross_attention=True),),
        head_width=4,
        norm_groups=2,
        stack_projection="linear",
    )
    modules = sorted({name.rpartition(".")[0] for name in UNet(a).state_dict()})
    block = ["depthwise", "expand", "norm", "reduce", "shortcut", "time"]
    layer = ["cross_attention.key", "cross_attention.out", "cross_attention.query", "cross_attention.value"]
    layer += ["cross_norm", "feed_forward.expand", "feed_forward.reduce", "feed_norm"]
    expected = [f"down.0.stages.0.conv.{name}" for name in block if name != "shortcut"]
    expected += [f"down.0.stages.0.stack.layers.0.{name}" for name in layer]
    expected += [f"down.0.stages.0.stack.{name}" for name in ("norm", "project_in", "project_out")]
    expected += [f"up.0.stages.{stage}.conv.{name}" for stage in (0, 1) for name in block]
    expected += ["conv_in", "conv_out", "norm_out", "time.0", "time.2"]
    assert modules == sorted(expected)


def test_md_has_as_many_parameters_as_the_paper_rounds() -> None:
    with torch.device("meta"):
        network = UNet(Architecture.load(ARCH / "md.yaml"))
    assert parameter_count(network) == 387_376_712
