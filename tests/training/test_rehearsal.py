"""What training needs to hold, and two steps of it on random latents."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from space.architecture import Architecture
from space.prices.macs import price
from space.prices.memory import peak_activation_bytes
from space.unet import UNet
from training import plan
from training.memory import TrainingMemory, available_bytes, training_memory
from training.plan import pacing
from training.rehearsal import rehearse
from training.settings import TrainingSettings

CPU = torch.device("cpu")


def test_memory_is_20_bytes_a_parameter_and_what_backward_needs(tiny: Architecture) -> None:
    memory, parameters = training_memory(tiny), price(tiny).parameters
    assert 20 * parameters <= memory.fixed < 20 * parameters + 4096  # beside: what no image adds
    kept: dict[int, int] = {}
    network = UNet(tiny)
    own = {parameter.data_ptr() for parameter in network.parameters()}
    held = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        held.append(storage)
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = torch.randn(3, 12, 8, 8), torch.zeros(3), torch.randn(3, 12, 16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(*inputs).square().mean()
    image = memory.image - 2 * peak_activation_bytes(tiny)
    assert sum(kept.values()) == pytest.approx(3 * image, rel=0.02)  # as real tensors have it


def test_the_largest_micro_batch_leaves_a_tenth_free() -> None:
    memory = TrainingMemory(fixed=100, image=20)
    assert memory.needed(3) == 160
    assert [memory.micro_batch_in(free) for free in (100, 134, 200)] == [0, 1, 4]
    assert available_bytes(CPU) > 1 << 20


def test_two_steps_on_random_latents_are_those_of_a_training(
    tiny: Architecture, settings: TrainingSettings
) -> None:
    """At any number of channels, with no encoder there."""
    eight = replace(tiny, latent_channels=8)
    training = replace(
        settings, caption_dropout=0.5, latents=replace(settings.latents, codec="vae", folder="x")
    )
    one = rehearse(eight, training, images=2)
    assert (one.device, one.images) == ("cpu", 2) and one.seconds > 0 and 0 < one.loss < 10
    assert one.images_per_second == pytest.approx(2 / one.seconds)
    assert rehearse(eight, training, images=2).loss == one.loss


def test_steps_run_where_memory_allows_and_a_stated_pace_counts(
    tiny: Architecture, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = pacing(tiny, settings, 100.0, seed=0)
    assert stated.rehearsed is not None and stated.rehearsed.images == settings.batch_size
    assert (stated.images_per_second, stated.source) == (100.0, "stated")
    assert stated.seconds(250) == 2.5 and stated.seconds(250, 2 * stated.macs) == 5.0
    measured = pacing(tiny, settings, None, seed=0)
    assert measured.rehearsed is not None and "measured here on one cpu" in measured.source
    assert measured.images_per_second == measured.rehearsed.images_per_second
    monkeypatch.setattr(plan, "available_bytes", lambda device: 1000)
    none = pacing(tiny, settings, None, seed=0)
    assert none.rehearsed is None and none.seconds(1) is None and none.line().startswith("unknown")
    assert any("a micro-batch of 1 needs" in line and "free: 1 kB" in line for line in none.memory_lines())
