"""`mdsearch evaluate reconstruction`: how well an autoencoder gives images back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conf.compose import compose
from conf.repeated import refuse_beside
from conf.words import as_entries, as_text, path_of
from evaluators.images.image_set import ImageSet, common_side, open_images
from evaluators.images.preparation import prepare
from evaluators.measuring.reconstruction import (
    Judges,
    PairScores,
    measure_pairs,
    pair_scores,
    paired_differences,
)
from evaluators.networks.features import ImageFeatures, to_network
from evaluators.networks.loading import NETWORK_KINDS, ComputeSettings, pinned
from evaluators.networks.perceptual import PerceptualName, check_files, perceptual_network
from evaluators.networks.weights import Missing, WeightsSettings
from evaluators.protocols.protocol import ImageForm, NetworkSpec
from evaluators.protocols.score import ConfidenceInterval
from evaluators.protocols.sheet import FILE, Sheet
from mdsearch.long_training import read_kept
from mdsearch.train_command import whole_settings
from search.runs.folder import run_around
from space.autoencoder import check_divides
from space.interchange.autoencoder_files import read_autoencoder
from space.interchange.weight_files import CONFIG_FILE
from space.shared.console import command_console
from space.shared.decoding import Unreadable
from space.shared.plain import InputError, from_plain
from training.autoencoder import save_differences
from training.data.dataset import as_pixels
from training.data.factory import DataSettings, load_data
from training.data.scenes import ScenesSettings
from training.files import CONFIG_NAME, SAMPLES_NAME

RECONSTRUCTION_TEXTS = (
    "model", "images", "against", "out", "data.folder", "data.captions", "data.source",
    "weights.cache_folder",
)  # fmt: skip
SHOWN_IMAGES = 8  # images in samples.png
AUTOENCODER_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ReconstructionCommand:
    """The fields of conf/evaluate_reconstruction.yaml."""

    model: str
    data: DataSettings = field(default_factory=ScenesSettings)
    images: str | None = None
    size_px: int | None = None
    samples: int | None = None
    against: str | None = None
    perceptual: PerceptualName = "lpips-vgg"
    features: Literal["none", "inception-v3", "efficientnet-lite0", "random-conv"] = "inception-v3"
    batch_size: int = 16
    out: str | None = None
    format: Literal["text", "json"] = "text"
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    weights: WeightsSettings = field(default_factory=WeightsSettings)

    def __post_init__(self) -> None:
        for name, least in (("size_px", 1), ("samples", 2), ("batch_size", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise InputError(f"{name}: {value} is not possible; allowed: {least} or more")


@dataclass(frozen=True)
class Originals:
    """Images, (B, H, W, 3) uint8 at a time, and which they are."""

    name: str
    chosen: str
    size_px: int
    form: ImageForm
    count: int
    batch: Callable[[range], np.ndarray]

    def batches(self, size: int) -> Iterator[np.ndarray]:
        for start in range(0, self.count, size):
            yield self.batch(range(start, min(start + size, self.count)))


def _source(command: ReconstructionCommand) -> Originals:
    """Raises InputError where there are no images, or of several sizes."""
    if command.images is not None:
        return _of_images(command, open_images(command.images))
    settings = command.data
    if command.size_px is not None:
        settings = replace(settings, image_size_px=command.size_px)
    data = load_data(settings)
    if data.encoders:
        raise InputError("data: encoded holds latents; what is given back are images")
    count = min(len(data.held_out_captions), command.samples or len(data.held_out_captions))
    name, side = f"{settings.title} {data.image_size_px} px", data.image_size_px

    def batch(some: range) -> np.ndarray:
        return as_pixels(data.held_out(some)[0])

    return Originals(name, "held out, the first", side, ImageForm(side), count, batch)


def _of_images(command: ReconstructionCommand, images: ImageSet) -> Originals:
    side = command.size_px or common_side(images, cropped=True)
    if side is None:
        raise InputError(
            "size_px: null, and images have several sizes; give the side that all are brought to"
        )
    form = ImageForm(side, crop="center", resize="bicubic")

    def batch(some: range) -> np.ndarray:
        return np.stack([prepare(_decoded(images, index), form) for index in some])

    count = min(len(images.names), command.samples or len(images.names))
    assert command.images is not None
    return Originals(Path(command.images).name, "the first, as they are named", side, form, count, batch)


def _decoded(images: ImageSet, index: int) -> np.ndarray:
    try:
        return images.decode(images.read(index))
    except Unreadable as error:
        raise InputError(f"images: {images.names[index]} cannot be read: {error}") from None


# ---------------------------------------------------------------------- what looks at them


def _judges(command: ReconstructionCommand, given: set[str]) -> Judges:
    """Networks that a word asks for must be there; the usual ones are left out where they are not.

    Raises:
        InputError: one that was asked for is missing.
    """
    left_out, device = list[str](), command.compute.on
    check_files(command.weights, [command.perceptual, command.features])
    judges = Judges(device=device)
    if command.perceptual != "none":
        try:
            network = perceptual_network(command.perceptual, command.weights, device)
            name = "lpips-vgg" if command.perceptual == "lpips-vgg" else f"perceptual-{command.perceptual}"
            judges = replace(judges, distance=network, distance_name=name)
        except Missing as error:
            if "perceptual" in given:
                raise
            left_out.append(str(error))
    if command.features != "none":
        try:
            features, spec = _features(command)
            judges = replace(judges, features=features, feature_spec=spec)
        except Missing as error:
            if "features" in given:
                raise
            left_out.append(str(error))
    return replace(judges, left_out=tuple(left_out))


def _features(command: ReconstructionCommand) -> tuple[ImageFeatures, NetworkSpec]:
    spec, kind = NetworkSpec(command.features), NETWORK_KINDS[command.features]
    network: Any = kind.load(spec, kind.find(spec, command.weights), command.compute)
    return network, pinned(spec, network)


def reconstructor(
    folder: str, size_px: int, compute: ComputeSettings, field: str = "model"
) -> Callable[[np.ndarray], np.ndarray]:
    """What an autoencoder makes of (B, H, W, 3) uint8 images, as files hold it; by the mean of each latent.

    Raises:
        InputError: no autoencoder there, or one whose factor does not divide the images, under `field`.
    """
    try:
        network = read_autoencoder(Path(folder).expanduser()).network
    except InputError as error:
        raise InputError(f"{field}: {error}") from None
    check_divides(network.autoencoder.factor, size_px, "size_px")
    network = network.to(compute.on, AUTOENCODER_DTYPES[compute.precision]).eval()

    @torch.no_grad()
    def reconstruct(images: np.ndarray) -> np.ndarray:
        given = (
            network(to_network(images).to(compute.on, AUTOENCODER_DTYPES[compute.precision])).float().cpu()
        )
        if not bool(given.isfinite().all()):
            raise InputError(
                f"{field}: {folder} gives images that are not finite in {compute.precision}: NaN or overflow"
            )
        return as_pixels(given)

    return reconstruct


# ---------------------------------------------------------------------- the command


def evaluate(command: ReconstructionCommand, given: set[str], console: Console) -> tuple[PairScores, Path]:
    """The scores, and the folder that they went to. Raises InputError."""
    source, judges = _source(command), _judges(command, given)
    each = [reconstructor(command.model, source.size_px, command.compute)]
    if command.against is not None:
        each.append(reconstructor(command.against, source.size_px, command.compute, "against"))
    measured = measure_pairs(source.batches(command.batch_size), each[0], judges)
    found = pair_scores(measured, judges, source.form, source.name, source.chosen)
    for second in each[1:]:
        other = measure_pairs(source.batches(command.batch_size), second, replace(judges, features=None))
        found = replace(found, differences=paired_differences(measured, other))
    if not found.scores:
        raise InputError(f"model: {'; '.join(found.left_out)}")
    id = next(iter(found.scores.values())).protocol.id
    folder = Path(command.out or f"scores/{Path(command.model).absolute().name}-{id}").expanduser()
    about = {
        "model": str(Path(command.model).expanduser().absolute()),
        "left_out": list(found.left_out),
        "against": command.against,
        "differences": {
            name: {"mean": mean, "low": interval.low, "high": interval.high}
            for name, (mean, interval) in found.differences.items()
        },
    }
    Sheet(found.scores, about).save(folder / FILE)
    shown = source.batch(range(min(SHOWN_IMAGES, source.count)))
    save_differences(shown, [reconstruct(shown) for reconstruct in each], folder / SAMPLES_NAME)
    return found, folder


def _print(found: PairScores, folder: Path, against: str | None, console: Console) -> None:
    table = Table("score", "value", "images", "notes", header_style="bold")
    for name, score in found.scores.items():
        notes = escape("; ".join(score.notes))
        table.add_row(name, _value(score.value, score.interval), f"{score.samples:,}", notes)
    console.print(table)
    for reason in found.left_out:
        print(f"left out: {reason}")
    for name, (mean, interval) in found.differences.items():
        is_noise = interval.low <= 0 <= interval.high
        print(f"{name} beside {against}: {_value(mean, interval)}{', within noise' if is_noise else ''}")
    print(next(iter(found.scores.values())).protocol)
    print(f"scores: {folder / FILE}; images: {folder / SAMPLES_NAME}")


def _value(value: float, interval: ConfidenceInterval | None) -> str:
    if interval is None:
        return f"{value:.5g}"
    return f"{value:.5g} ({interval.level:.0%}: {interval.low:.5g} to {interval.high:.5g})"


def _stored_data(model: Path | None, given: set[str]) -> dict[str, Any]:
    """The data that an autoencoder learnt from, which it is judged on where no word says otherwise.

    Raises:
        InputError: nothing says which images.
    """
    if model is None or "images" in given or "data" in given:
        return {}
    own = model if (model / CONFIG_NAME).is_file() else run_around(model / CONFIG_FILE)
    if own is not None:
        kept = read_kept(own, CONFIG_NAME, dict, "model", "an autoencoder's training")
        return whole_settings({"data": kept["data"]} if "data" in kept else {})
    if model.is_dir() and not any(name.startswith("data.") for name in given):
        raise InputError(
            f"data: {str(model)!r} does not say what it learnt from; needed: images=<folder>, data=emoji, "
            "data=scenes, ..."
        )
    return {}


def main(words: list[str]) -> int:
    refuse_beside(words, "images", ["data"], "which are the images themselves")
    meant = as_entries(as_text(words, RECONSTRUCTION_TEXTS), "weights.files")
    given = {word.lstrip("+~").partition("=")[0] for word in words}
    stored = _stored_data(path_of(words, "model"), given)
    command: ReconstructionCommand = from_plain(
        ReconstructionCommand, compose("evaluate_reconstruction", meant, stored=stored)
    )
    console = command_console(stderr=command.format == "json")
    found, folder = evaluate(command, given, console)
    if command.format == "json":
        print((folder / FILE).read_text(encoding="utf-8"), end="")
    else:
        _print(found, folder, command.against, console)
    return 0
