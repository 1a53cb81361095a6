"""Counters that know nothing of `space/prices/macs.py`: they run the module and count what it runs.

Both refuse to guess. PyTorch's FlopCounterMode and fvcore pass operators that they have no formula for as
zero; here such an operator fails the count, unless it stands in a list of operators known to multiply no
matrices. MACs are for the whole batch given, multiply-accumulates as in the paper's "GFLOPs".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from space.architecture import Architecture
from space.unet import UNet


class UnknownOperator(RuntimeError):
    """A module runs an operator that the counter has no formula for and that isn't known to be free."""


class OperatorCount(NamedTuple):
    """Parameters, MACs and, of those, the products of attention (two activations, no weight)."""

    parameters: int
    macs: int
    attention_macs: int


def example_inputs(a: Architecture, batch: int = 1, device: str = "cpu") -> tuple[Tensor, ...]:
    """Zeros in the shapes that `UNet(a).forward` takes, `batch` of them."""
    inputs = [
        torch.zeros(batch, a.input_channels, a.latent_size, a.latent_size, device=device),
        torch.zeros(batch, device=device),
        torch.zeros(batch, a.context_length, a.context_width, device=device),
    ]
    widths = [a.pooled_width, a.size_embeddings, a.guidance_width]
    if any(widths):
        inputs += [torch.zeros(batch, width, device=device) for width in widths]
    return tuple(inputs)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# ---------------------------------------------------------------------- PyTorch, on meta tensors

# Operators of aten that multiply no matrices: elementwise, reductions along a row, norms, copies, views.
# fmt: off
FREE_OPERATORS = frozenset([
    "add", "arange", "cat", "clone", "constant_pad_nd", "cos", "detach", "div", "exp", "expand", "gelu",
    "mul", "native_group_norm", "native_layer_norm", "relu", "_safe_softmax", "silu", "sin", "slice",
    "_softmax", "split", "sub", "t", "_to_copy", "transpose", "_unsafe_index", "_unsafe_view",
    "unsqueeze", "upsample_nearest2d", "view", "zeros",
])
# fmt: on
_FREE = {
    getattr(torch.ops.aten, name): lambda *_, **__: 0 for name in FREE_OPERATORS
}  # spares decompositions
_BATCHED_PRODUCTS = {torch.ops.aten.bmm, torch.ops.aten.baddbmm}


def meta_count(a: Architecture) -> OperatorCount:
    """Parameters and MACs of one image, by PyTorch's FlopCounterMode; no memory is allocated.

    Raises:
        UnknownOperator: the network runs an operator that cannot be counted.
    """
    return meta_count_of(lambda: UNet(a), *example_inputs(a, device="meta"))


def meta_count_of(build: Callable[[], nn.Module], *inputs: Tensor) -> OperatorCount:
    """As `meta_count`, of any module, built on meta, and its meta inputs."""
    with torch.device("meta"):
        module = build()
    guard = _Guard(module)
    # The guard is entered first, so it sees what FlopCounterMode runs, after any decomposition.
    with torch.no_grad(), guard, FlopCounterMode(display=False, custom_mapping=_FREE) as counter:
        module(*inputs)
    return OperatorCount(parameter_count(module), counter.get_total_flops() // 2, guard.attention_flops // 2)


class _Guard(TorchDispatchMode):
    """Stops at operators that are neither counted nor free; sums the products of two activations.

    A batched product with an expanded weight (a linear layer on a transposed input) is no attention:
    weights are known by their storage.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.attention_flops = 0
        self._weights = {parameter.untyped_storage()._cdata for parameter in module.parameters()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        packet = func._overloadpacket
        counted = packet in flop_registry
        if not counted and not (func.namespace == "aten" and packet.__name__ in FREE_OPERATORS):
            raise UnknownOperator(f"{func}: no formula counts it, and it isn't known to be free")
        out = func(*args, **(kwargs or {}))
        if counted and (packet in _BATCHED_PRODUCTS or "scaled_dot_product" in packet.__name__):
            operands = [argument for argument in args if isinstance(argument, Tensor)]
            if not any(operand.untyped_storage()._cdata in self._weights for operand in operands):
                self.attention_flops += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


# ---------------------------------------------------------------------- fvcore, on the CPU

# What a trace holds beside fvcore's own list of ignored operators; elementwise, shapes and views again.
FREE_TRACED_OPERATORS = frozenset(
    f"aten::{name}"
    for name in ("add", "cos", "div", "exp", "gelu", "mul", "pad", "pow", "silu", "sin", "sub", "unflatten")
)
_NOT_MACS = ("group_norm", "layer_norm", "upsample_nearest2d")  # which fvcore counts too
_ATTENTION = ("scaled_dot_product_attention", "matmul")  # a layer's product is traced as `linear`


def fvcore_count(a: Architecture) -> OperatorCount:
    """As `meta_count`, by fvcore's trace of a forward pass on the CPU: it computes, for seconds per network.

    Weights take no memory, so a network of any size fits: each is one zero, seen as often as its shape says.

    Raises:
        UnknownOperator: the network runs an operator that cannot be counted.
    """
    with torch.device("meta"):
        module = UNet(a)
    weights = {name: torch.zeros(()).expand(weight.shape) for name, weight in module.state_dict().items()}
    module.load_state_dict(weights, assign=True)
    return fvcore_count_of(module, *example_inputs(a))


def fvcore_count_of(module: nn.Module, *inputs: Tensor) -> OperatorCount:
    """As `fvcore_count`, of any module and its inputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it compiles a function by torch.jit, which torch advises against
        from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_handle)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = analysis.by_operator()
    unknown = sorted(set(analysis.unsupported_ops()) - FREE_TRACED_OPERATORS)
    if unknown:
        raise UnknownOperator(f"{', '.join(unknown)}: no formula counts it, and it isn't known to be free")
    macs = sum(int(count) for name, count in counts.items() if name not in _NOT_MACS)
    attention = sum(int(counts.get(name, 0)) for name in _ATTENTION)
    return OperatorCount(parameter_count(module), macs, attention)


def _attention_handle(inputs: list[Any], outputs: list[Any]) -> int:
    """QK^T and AV: (B, heads, N, d) by (B, heads, L, d), then (B, heads, N, L) by (B, heads, L, d_v)."""
    query, key, value = (argument.type().sizes() for argument in inputs[:3])
    products: int = prod(query) * key[-2] + prod(query[:-1]) * key[-2] * value[-1]
    return products
