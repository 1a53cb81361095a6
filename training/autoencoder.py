"""An autoencoder in training, and what is measured of it for its folder: its latents' scale, its fp16."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from space.autoencoder import Autoencoder, check_divides
from space.autoencoder_network import AutoencoderNetwork, ImageStages
from space.difference import autoencoder_difference
from space.interchange.autoencoder_files import StoredAutoencoder, save_autoencoder
from space.shared.files import write_whole
from space.shared.plain import InputError, to_plain
from training.data.dataset import Dataset, as_pixels
from training.devices import choose_device
from training.distributed.ranks import RankGroup
from training.failures import Diverged
from training.files import SAMPLES_NAME
from training.generation.grid import save_grid
from training.kept import KeptTraining
from training.objectives.reconstruction import (
    PerceptualNetwork,
    ReconstructionObjective,
    ReconstructionSettings,
)
from training.run import ModelScores
from training.trainer import random_of

AUTOENCODER_RECORD = "autoencoder.json"
FP16_MOST = 65_504.0
MEASURED_IMAGES, FP16_IMAGES = 256, 8
MAGNIFIED = 4  # differences in the grid
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class LatentStatistics:
    """Of latents' means over some images: of each channel, and what brings all together to deviation 1."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    scaling_factor: float
    images: int


@dataclass(frozen=True)
class LargestActivation:
    """The largest number inside a decoder, and which module gives it."""

    value: float
    where: str

    @property
    def overflows_fp16(self) -> bool:
        return not self.value <= FP16_MOST


class AutoencoderTrainer(KeptTraining[AutoencoderNetwork]):
    """One autoencoder in training; `averaged` is what is kept.

    Args:
        start: the weights that it begins with, and the scale of its latents; of it `decoder_only` keeps the
            encoder, and the scale with it.
        start_name: of what it was read from, for messages.
        new_decoder: the decoder begins at random, also where it is the same as that of `start`.
        ranks: the workers that share each batch.

    Raises:
        InputError: autoencoder, data, settings and start do not fit.
    """

    command: ClassVar[str] = "train autoencoder"

    def __init__(
        self,
        autoencoder: Autoencoder,
        data: Dataset,
        settings: ReconstructionSettings,
        *,
        seed: int,
        perceptual: PerceptualNetwork | None = None,
        start: StoredAutoencoder | None = None,
        start_name: str = "init_from",
        new_decoder: bool = False,
        ranks: RankGroup | None = None,
    ) -> None:
        check_data(autoencoder, data, settings)
        self.autoencoder = replace(autoencoder, image_size=data.image_size_px)
        self.data, self.seed, self.reconstruction = data, seed, settings
        self.scale: dict[str, Any] | None = None  # of a start whose encoder stays
        device = choose_device(settings.device)
        with random_of("weights", seed):
            model = AutoencoderNetwork(self.autoencoder).to(device)
        own: dict[str, str | int] = {"autoencoder": self.autoencoder.id, "data": data.digest, "seed": seed}
        if start is not None:
            begin_from(model, start.network, settings.decoder_only, start_name, new_decoder)
        if settings.decoder_only:
            if start is None:
                raise InputError(
                    "decoder_only: true needs the encoder that stays; name it by init_from=<folder>"
                )
            self.scale = start.scale
            own["encoder"] = encoder_digest(model.encoder)
        if device.type == "cpu":
            model = model.to(memory_format=torch.channels_last)
        if settings.perceptual and perceptual is not None:
            own["perceptual"] = f"{perceptual.name}, {perceptual.digest}"
        with random_of("objective", seed):
            objective = ReconstructionObjective(model, data, settings, seed, perceptual, device)
        super().__init__(objective, settings.of_the_loop(), device, own, ranks)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())

    # ------------------------------------------------------------------ what is kept

    def save_weights(self, folder: Path) -> None:
        """A folder that diffusers loads, with what was measured beside.

        Raises:
            Diverged: latents that are not finite, or have no spread.
        """
        latents = measure_latents(self.averaged, self.data, self.device, self.seed)
        largest = largest_activation(self.averaged, self.data, self.device)
        scale = {"scaling_factor": latents.scaling_factor} if self.scale is None else self.scale
        save_autoencoder(self.averaged, folder, scale, force_upcast=largest.overflows_fp16)
        record = {
            "id": self.autoencoder.id,
            "step": self.step,
            "identity": dict(self.identity),
            "settings": to_plain(self.reconstruction),
            "scale": scale,
            "latents": asdict(latents),
            "largest_activation": asdict(largest) | {"overflows_fp16": largest.overflows_fp16},
        }
        write_whole(folder / AUTOENCODER_RECORD, json.dumps(record, indent=1))

    def save_images(self, folder: Path, count: int, seed: int) -> None:
        """Rows of held-out images, of what becomes of them, and of the differences magnified around grey."""
        images = self.data.held_out(range(min(count, len(self.data.held_out_captions))))[0]
        given = reconstructed(self.averaged, images, self.device, self.reconstruction.batch_size)
        save_differences(as_pixels(images), [as_pixels(given)], folder / SAMPLES_NAME)

    def scores(self, model: AutoencoderNetwork) -> ModelScores:
        """For the curve: the mean PSNR of held-out images, not yet rounded to 8 bits."""
        count = min(self.reconstruction.validation_images, len(self.data.held_out_captions))
        found, size = list[Tensor](), self.reconstruction.batch_size
        for start in range(0, count, size):
            images = self.data.held_out(range(start, min(start + size, count)))[0]
            error = (reconstructed(model, images, self.device, size) - images).square().flatten(1).mean(1)
            found.append(10 * (4 / error.double().clamp(min=1e-12)).log10())
        each = torch.cat(found)
        deviation = float(each.std()) / len(each) ** 0.5 if len(each) > 1 else 0.0
        return ModelScores({"psnr": float(each.mean())}, {"psnr": deviation}, len(each))

    def warnings(self) -> list[str]:
        """What of the kept weights a person should know."""
        largest = largest_activation(self.averaged, self.data, self.device)
        if not largest.overflows_fp16:
            return []
        return [
            f"overflows in fp16: {largest.where} reaches {largest.value:.3g}, above "
            f"{FP16_MOST:,.0f}; its config says force_upcast, by which pipelines decode in fp32"
        ]


def check_data(autoencoder: Autoencoder, data: Dataset, settings: ReconstructionSettings) -> None:
    """Raises InputError where these images cannot train this autoencoder."""
    if data.encoders or data.name == "encoded":
        raise InputError("data: encoded holds latents; an autoencoder learns from images")
    check_divides(autoencoder.factor, data.image_size_px, "data.image_size_px")
    settings.adversarial.check_data(data.train_images, data.image_size_px)
    some = data.at(range(min(64, len(data.train_captions) or 64)), 0)[0]
    if not bool(some.isfinite().all()):
        raise InputError("data: images that are not finite")
    if float(some.flatten(2).std(2).max()) < LEAST_SPREAD:
        raise InputError(f"data: {len(some)} images of a single colour each; nothing is to be learnt of them")


def begin_from(
    model: AutoencoderNetwork, start: AutoencoderNetwork, decoder_only: bool, name: str, new: bool = False
) -> None:
    """Those of another's encoder, and of its decoder where it is the same; one to be `new` begins at random.

    Raises:
        InputError: another encoder or other latents; or, where both are trained, another decoder.
    """
    own, theirs = model.autoencoder, replace(start.autoencoder, image_size=model.autoencoder.image_size)
    changes = autoencoder_difference(theirs, own)
    of_decoder = [line for line in changes if line.startswith("decoder")]
    if others := [line for line in changes if line not in of_decoder]:
        raise InputError(f"{name}: is of another autoencoder: {'; '.join(others[:6])}")
    model.encoder.load_state_dict(start.encoder.state_dict())
    if not of_decoder and not new:
        model.decoder.load_state_dict(start.decoder.state_dict())
    elif of_decoder and not decoder_only:
        raise InputError(
            f"{name}: is of another decoder: {'; '.join(of_decoder[:6])}; allowed: the same, or "
            "reconstruction.decoder_only=true, which trains a new one"
        )


def encoder_digest(encoder: nn.Module) -> str:
    """Sixteen hexadecimal digits of its weights."""
    sha = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        sha.update(name.encode() + tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


# ---------------------------------------------------------------------- what is measured


@torch.no_grad()
def measure_latents(
    network: AutoencoderNetwork, data: Dataset, device: torch.device, seed: int = 0
) -> LatentStatistics:
    """Over the first training images. Raises Diverged where latents are not finite, or have no spread."""
    network.eval()
    count = min(MEASURED_IMAGES, data.train_images)
    parts = [
        network.encode(data.at(range(start, min(start + 16, count)), seed)[0].to(device)).mean
        for start in range(0, count, 16)
    ]
    latents = torch.cat(parts).double().transpose(0, 1).flatten(1).cpu()
    if not bool(latents.isfinite().all()):
        raise Diverged("latents are not finite")
    deviation = float(latents.std(correction=0))
    if deviation < LEAST_SPREAD:
        raise Diverged(f"latents of {count} images have no spread (deviation {deviation:.2g})")
    means, deviations = latents.mean(1).tolist(), latents.std(1, correction=0).tolist()
    return LatentStatistics(tuple(means), tuple(deviations), 1 / deviation, count)


@torch.no_grad()
def largest_activation(network: AutoencoderNetwork, data: Dataset, device: torch.device) -> LargestActivation:
    """Inside the decoder, as it decodes held-out images in fp32."""
    network.eval()
    images = data.held_out(range(min(FP16_IMAGES, len(data.held_out_captions))))[0].to(device)
    latents = network.encode(images).mean
    found = LargestActivation(0.0, "")
    for name, value in _activations(network.decoder, latents):
        if not value <= found.value:
            found = LargestActivation(value, name.replace("places.", "decoder-"))
    return found


def _activations(way: ImageStages, given: Tensor) -> Iterator[tuple[str, float]]:
    """Of each module inside, its name and the largest magnitude of what it gives."""
    found: list[tuple[str, float]] = []

    def watch(name: str) -> Any:
        def note(module: nn.Module, given: Any, result: Tensor) -> None:
            found.append((name, float(result.abs().max())))

        return note

    handles = [module.register_forward_hook(watch(name)) for name, module in way.named_modules() if name]
    try:
        way(given)
    finally:
        for handle in handles:
            handle.remove()
    yield from found


@torch.no_grad()
def reconstructed(
    network: AutoencoderNetwork, images: Tensor, device: torch.device, batch_size: int = 16
) -> Tensor:
    """(N, 3, H, W) in [-1, 1] on the CPU, by way of the mean of each latent."""
    network.eval()
    parts = [network(part.to(device)).float().clamp(-1, 1).cpu() for part in images.split(batch_size)]
    return torch.cat(parts)


def save_differences(images: np.ndarray, given: Sequence[np.ndarray], path: Path) -> None:
    """(N, H, W, 3) uint8 each, as rows: the originals; then of each autoencoder what it gave back, and the
    differences magnified around grey."""
    rows = [images]
    for each in given:
        difference = 128 + (each.astype(np.int64) - images) * MAGNIFIED
        rows += [each, difference.clip(0, 255).astype(np.uint8)]
    save_grid(np.concatenate(rows), path, columns=len(images), enlarge=2)
