"""Before anything starts: whether a training can begin and, with `dry_run=true`, what it would take."""

from __future__ import annotations

from dataclasses import dataclass

from mdsearch.train_command import CPU, TrainCommand, TrainedStage
from space.architecture import Architecture
from space.prices.macs import price
from space.proxy import narrow
from space.shared.disk import disk_free_bytes
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.distributed.base import check_shares
from training.distributed.ranks import RankGroup
from training.encoders import check_encoders, check_size, frozen_parts_of
from training.frozen_folders import folder_digests
from training.latents import check_fit, make_codec
from training.logs.trackers import check_trackers
from training.micro_batches import MicroBatches
from training.model import read_description
from training.plan import (
    HOUR,
    PACE_UNKNOWN,
    Pacing,
    WorkPlan,
    in_bytes,
    latents_on_disk,
    pacing,
    without_error,
)
from training.stages import check_same_weights
from training.state import STATE_BYTES_PER_PARAMETER
from training.text import make_text_encoder
from training.timing import FORWARD_SHARE

WEIGHT_BYTES = 4  # fp32


@dataclass(frozen=True)
class PlannedStage:
    """Of so many images to train on, if that is known; it takes seconds, if those are."""

    image_size_px: int
    steps: int
    batch_size: int
    there: int | None
    seconds: float | None

    @property
    def images(self) -> int:
        return self.steps * self.batch_size

    @property
    def epochs(self) -> float | None:
        return None if self.there is None else self.images / self.there

    def line(self) -> str:
        times = "" if self.epochs is None else f", {self.epochs:.3g} times each of {self.there:,}"
        took = "" if self.seconds is None else f": {in_days(self.seconds)}"
        steps = f"{self.steps:,} steps of {self.batch_size:,}"
        return f"{self.image_size_px} px, {steps}: {self.images:,} images{times}{took}"


def train_plan(command: TrainCommand) -> WorkPlan:
    """Steps, images, expected time, memory and disk, and what is not there or does not fit.

    Raises:
        InputError: settings that fit nothing, whatever is there.
    """
    plan = WorkPlan()
    stages = command.all_stages()
    factor = _pixels_of_a_latent(command, stages)
    networks = [command.narrowed(stage, factor) for stage in stages]
    check_same_weights(networks)
    data = [_checked(stage, network, plan) for stage, network in zip(stages, networks, strict=True)]
    if (start := command.init_from) is not None:
        without_error(plan.refused, lambda: read_description(start, "init_from"))
    without_error(plan.refused, lambda: check_trackers(command.logger))
    without_error(plan.refused, lambda: _check_many(command, stages))
    plan.add("note", command.idle())
    largest = max(networks, key=lambda network: network.latent_size)
    cost = price(largest)
    shape = f"{largest.latent_channels}x{largest.latent_size}x{largest.latent_size}"
    plan.add("network", f"{cost.parameters:,} parameters, {cost.gmacs:.1f} GMACs an image of {shape} latents")
    one = pacing(largest, command.training, command.throughput, command.seed)
    plan.add("memory", one.memory_lines())
    plan.add("memory", _at_once(command, stages[networks.index(largest)], one))
    plan.add("throughput", one.line())
    plan.figures |= {"parameters": cost.parameters, "accelerators": command.together} | one.figures()
    _stages(command, networks, data, one, plan)
    _disk(command, networks, data, cost.parameters, plan)
    return plan


def _pixels_of_a_latent(command: TrainCommand, stages: list[TrainedStage]) -> int:
    """Of the codec; where that is not there, as the largest images and the network's latents have it."""
    codec = without_error([], lambda: make_codec(command.training.latents, CPU))
    if codec is not None:
        return codec.factor
    size = narrow(command.architecture(), command.proxy).latent_size
    return max(1, max(stage.data.image_size_px for stage in stages) // size)


def _checked(stage: TrainedStage, network: Architecture, plan: WorkPlan) -> Dataset | None:
    """The data of a stage, if all that it is trained with is there and fits."""
    before = len(plan.refused)
    without_error(plan.refused, lambda: check_size(network, stage.data, stage.training.latents))
    fits = len(plan.refused) == before  # else data are not made, which can take minutes
    data = without_error(plan.refused, lambda: load_data(stage.data)) if fits else None
    for look in frozen_parts_of(stage.training):
        without_error(plan.refused, look)
    if len(plan.refused) == before:
        assert data is not None
        without_error(plan.refused, lambda: _check_fits(stage, network, data))
    plan.refused[:] = dict.fromkeys(plan.refused)  # a folder of all stages once
    return data


def _check_fits(stage: TrainedStage, network: Architecture, data: Dataset) -> None:
    training = stage.training
    codec = make_codec(training.latents, CPU)
    check_fit(network, data.image_size_px, training.latents, codec)
    check_encoders(data, folder_digests(training), codec)
    reads = network.cross_attention_layers > 0
    make_text_encoder(training.text, [], network.context_length, network.context_width, reads)


def _check_many(command: TrainCommand, stages: list[TrainedStage]) -> None:
    """Raises InputError where so many cannot train together."""
    if command.parallel == "fsdp" and command.together > 1:
        check_shares(command.training)
    for stage in stages:
        MicroBatches(stage.training, RankGroup(0, command.together))


def _at_once(command: TrainCommand, stage: TrainedStage, one: Pacing) -> str:
    """What a worker's share of the largest images needs, unless it is divided."""
    share = -(-stage.training.batch_size // command.together)
    images = min(share, stage.training.micro_batch or share)
    needed = in_bytes(one.on_gpu.needed(images))
    return f"on a GPU {needed} for the {images:,} images that each takes at once (training.micro_batch)"


def _stages(
    command: TrainCommand,
    networks: list[Architecture],
    data: list[Dataset | None],
    one: Pacing,
    plan: WorkPlan,
) -> None:
    """Each with its steps and images, and how long it takes; then the whole."""
    planned, begins = list[PlannedStage](), 0
    for place, (stage, network, there) in enumerate(zip(command.all_stages(), networks, data, strict=True)):
        steps = stage.until - begins
        count = command.expected(place) if there is None else there.train_images
        seconds = _seconds(command, stage, steps, price(network).macs, one)
        planned.append(
            PlannedStage(stage.data.image_size_px, steps, stage.training.batch_size, count, seconds)
        )
        begins = stage.until
    plan.add("stage", [each.line() for each in planned])
    figures = [vars(each) | {"images": each.images, "epochs": each.epochs} for each in planned]
    plan.figures |= {"stages": figures, "steps": begins, "images": sum(each.images for each in planned)}
    if one.images_per_second is None:
        plan.add("time", PACE_UNKNOWN)
        return
    whole, many = sum(each.seconds or 0.0 for each in planned), command.together
    hours = whole * many / HOUR
    plan.figures |= {"seconds": whole, "accelerator_hours": hours}
    together = f", taken as {many} times one; one validates while {many - 1} wait" if many > 1 else ""
    if command.scores:
        together += "; without the images that are scored at each state (scores=true)"
    plan.add("time", f"{in_days(whole)} on {many} accelerator{'s' * (many > 1)}{together}")
    plan.add("hours", f"{hours:,.{0 if hours >= 100 else 2}f} accelerator-hours")


def _seconds(command: TrainCommand, stage: TrainedStage, steps: int, macs: int, one: Pacing) -> float | None:
    """Of a stage's steps by all accelerators; and of validation and images at each state, by one of them."""
    training = stage.training
    trained = one.seconds(steps * training.batch_size, macs)
    passes = training.sampling_steps * (1 if training.guidance == 1 else 2)
    states = -(-steps // command.state_every_steps)
    looked_at = one.seconds(states * (training.validation_images + command.images * passes), macs)
    if trained is None or looked_at is None:
        return None
    return trained / command.together + FORWARD_SHARE * looked_at


def _disk(
    command: TrainCommand,
    networks: list[Architecture],
    data: list[Dataset | None],
    parameters: int,
    plan: WorkPlan,
) -> None:
    """States, weights, averages kept for later, and latents that were made ahead."""
    lengths = len(command.training.ema_lengths)
    steps = command.all_stages()[-1].until
    state = parameters * (STATE_BYTES_PER_PARAMETER + WEIGHT_BYTES * lengths)
    count = command.keep_last + 1 + len(command.keep_steps)
    averages = -(-steps // command.state_every_steps) * lengths * WEIGHT_BYTES * parameters
    whole = count * state + WEIGHT_BYTES * parameters + averages
    free = disk_free_bytes(command.folder())
    short = "" if whole < free else ": too little"
    kept = f" and {in_bytes(averages)} of averages" if averages else ""
    plan.add(
        "disk",
        f"{in_bytes(whole)} in {command.folder()} ({in_bytes(free)} free{short}): {count} states of "
        f"{in_bytes(state)}{kept}",
    )
    found = {"training": whole, "free": free}
    latents = [
        latents_on_disk(stage.data, network, command.expected(place), plan).get("latents", 0)
        for place, (stage, network) in enumerate(zip(command.all_stages(), networks, strict=True))
    ]
    plan.figures["disk_bytes"] = found | {"latents": sum(latents)}


def in_days(seconds: float) -> str:
    """Like "6.9 days", "3.2 h", "12 min"."""
    for unit, size in (("days", 24 * HOUR), ("h", HOUR), ("min", 60.0)):
        if seconds >= 2 * size:
            return (
                f"{seconds / size:,.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"
            )
    return f"{seconds:.1f} s"
