"""Peak activations in closed form, against the measured life of every tensor of a real forward pass."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from space.architecture import Architecture, Level
from space.prices.counters import example_inputs
from space.prices.macs import price
from space.prices.memory import peak_activation_bytes, weight_bytes
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.strategies import architectures


class LiveTensors(TorchDispatchMode):
    """Sums the bytes of every storage that an operator made and something still holds, after each one.

    Only an operator's first result counts: the others are the statistics of norms and of attention.
    """

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.alive, self.peak = known, {}, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, (tuple, list)) else out
        storage = first.untyped_storage()
        self.alive = {key: held for key, held in self.alive.items() if not held[0].expired()}
        if storage._cdata not in self.known:
            self.alive.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return out


def measured_peak(a: Architecture, batch: int = 1) -> int:
    """Bytes alive at most, from the first convolution on; the time embedding is handed in as it is."""
    torch.set_num_threads(1)
    network = UNet(a).eval()
    inputs = example_inputs(a, batch)
    known = {t.untyped_storage()._cdata for t in (*network.parameters(), *inputs)}
    tracker = LiveTensors(known)
    entered = []

    def enter(*_: Any) -> None:
        tracker.__enter__()
        entered.append(True)

    network.conv_in.register_forward_pre_hook(enter)
    with torch.no_grad():
        network(*inputs)
    assert entered
    tracker.__exit__(None, None, None)
    return tracker.peak + batch * a.time_width * 4


SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=30, derandomize=True, **SETTINGS)
@given(architectures(), st.integers(1, 2))
def test_equals_the_measured_peak(architecture: Architecture, batch: int) -> None:
    assert peak_activation_bytes(architecture, batch=batch) == measured_peak(architecture, batch)


@pytest.mark.slow
@settings(max_examples=600, **SETTINGS)
@given(architectures(), st.integers(1, 3))
def test_equals_the_measured_peak_of_many(architecture: Architecture, batch: int) -> None:
    assert peak_activation_bytes(architecture, batch=batch) == measured_peak(architecture, batch)


@pytest.mark.parametrize("heads", [1, 2, 4])  # one; some; one channel wide
@pytest.mark.parametrize("context_length", [1, 2, 9])
def test_relu_attention_copies_heads_only_where_strides_ask_for_it(heads: int, context_length: int) -> None:
    level = Level(4, "full", (1,), (1, 0), self_attention=True, cross_attention=True)
    for latent_size in (1, 2, 3):
        a = replace(
            ONE_LEVEL,
            levels=(level,),
            attention="relu",
            heads=heads,
            feed_forward_ratio=1,
            latent_size=latent_size,
            context_length=context_length,
        )
        for batch in (1, 2):
            assert peak_activation_bytes(a, batch=batch) == measured_peak(a, batch), (latent_size, batch)


ONE_LEVEL = Architecture(
    levels=(Level(2, "full", (0,), (0, 0)),),
    norm_groups=1,
    head_width=None,
    heads=1,
    time_width=3,
    latent_channels=1,
    latent_size=4,
)


def test_one_level_by_hand() -> None:
    # 2 channels on 16 pixels: a map of 32. The peak is in the last conv block: time 3, the level's input,
    # the current map, both joined (64), and inside two maps of the joined width: 3 + 32 + 32 + 64 + 128.
    assert peak_activation_bytes(ONE_LEVEL, "int8") == 259
    assert peak_activation_bytes(ONE_LEVEL, "fp32", batch=2) == 8 * 259


def test_weight_bytes_by_precision() -> None:
    cost = price(ONE_LEVEL)
    assert weight_bytes(cost) == 4 * cost.parameters
    assert [weight_bytes(cost, name) // cost.parameters for name in ("fp16", "bf16", "int8")] == [2, 2, 1]


def test_relu_attention_holds_its_scores() -> None:
    levels = (Level(4, "full", (1,), (0, 0), self_attention=True),)
    softmax = replace(ONE_LEVEL, levels=levels, heads=4)
    assert peak_activation_bytes(replace(softmax, attention="relu")) > peak_activation_bytes(softmax)


def test_bad_precision_and_batch_are_refused() -> None:
    with pytest.raises(InputError, match=r"precision: 'fp61'.*did you mean 'fp16'"):
        weight_bytes(price(ONE_LEVEL), "fp61")
    with pytest.raises(InputError, match="batch: 0"):
        peak_activation_bytes(ONE_LEVEL, batch=0)
