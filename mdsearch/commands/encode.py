"""`mdsearch encode`: latents and text features of captioned images, made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from conf.compose import compose
from conf.words import as_text
from space.coordinates import COORDINATES
from space.shared.command_lines import command_line
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain
from training.data.encoded_files import Encoding, Stored, latent_shape, latent_spread, read_empty
from training.data.sources.images import SourceImages
from training.data.sources.index import open_index
from training.data.stream import StreamSettings, stream_settings
from training.devices import choose_device
from training.encoding import Encoder
from training.failures import is_out_of_memory
from training.frozen_folders import LATENTS_FOLDER, TEXT_FOLDER, frozen_digest
from training.latents import LatentSettings, latent_space, make_codec
from training.text import ClipTextEncoder, TextSettings

ENCODE_TEXTS = ("out", "data.source", "data.captions", "data.images", "latents.folder", "text.folder")
USUAL_DEVIATION = (0.5, 2.0)  # of latents that are scaled; SD's have about 1


@dataclass(frozen=True)
class EncodeCommand:
    """What conf/encode.yaml holds."""

    data: StreamSettings
    latents: LatentSettings
    text: TextSettings
    out: str
    shard_images: int = 1024
    batch_size: int = 16
    precision: Stored = "bf16"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("shard_images", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if self.text.encoder != "clip":
            raise InputError(
                f"text.encoder: {self.text.encoder!r} learns with the network; allowed here: 'clip'"
            )
        if self.latents.codec != "vae":
            raise InputError(f"latents.codec: {self.latents.codec!r} takes no time; allowed here: 'vae'")


def main(words: list[str]) -> int:
    plain = compose("encode", as_text(words, ENCODE_TEXTS))
    command: EncodeCommand = from_plain(EncodeCommand, plain | {"data": stream_settings(plain["data"])})
    out = Path(command.out).expanduser()
    began = time.perf_counter()
    try:
        count = run(command, out)
    except OSError as error:
        raise InputError(f"out: {command.out!r} cannot be written: {error}") from None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"batch_size: {command.batch_size} images do not fit in memory ({reason}); "
            "a smaller one goes on with the shards that are missing"
        ) from None
    seconds = time.perf_counter() - began
    print(f"encoded {count:,} images in {seconds:,.0f} s, {count / seconds:.1f} images a second: {out}")
    for line in spread_lines(out):
        print(line)
    print(f"train on them: {_then(command, out)}")
    return 0


def spread_lines(out: Path) -> list[str]:
    """Mean and deviation of latents, and a warning where they are far from what networks are trained on."""
    if (found := latent_spread(out)) is None:
        return []
    count, mean, deviation = found
    lines = [f"latents of {count:,} images: mean {mean:.3g}, deviation {deviation:.3g}"]
    least, most = USUAL_DEVIATION
    if not least <= deviation <= most or abs(mean) > most:
        lines.append(
            "warning: networks are trained on latents of mean 0 and deviation 1, about; scaling_factor "
            "and shift_factor of the autoencoder's config bring them there"
        )
    return lines


def _then(command: EncodeCommand, out: Path) -> str:
    """With what a network has to have for these latents and features, whatever its proxy."""
    channels, size, _ = latent_shape(out)
    length, width = read_empty(out).shape
    of_training = {
        f"training.{part}.{name}": value
        for part, settings, names in (
            ("latents", command.latents, ("codec", "folder", "coordinates")),
            ("text", command.text, ("encoder", "folder")),
        )
        for name, value in vars(settings).items()
        if name in names
    }
    of_proxy = {
        "latent_channels": channels + (COORDINATES if command.latents.coordinates else 0),
        "latent_size": size,
        "context_length": length,
        "context_width": width,
    }
    data = {"data": "encoded", "data.folder": out, "data.image_size_px": command.data.image_size_px}
    return command_line(
        "train", **data, **of_training, **{f"proxy.{name}": of_proxy[name] for name in of_proxy}
    )


def run(command: EncodeCommand, out: Path) -> int:
    """How many images were encoded; those of shards that were there already are not."""
    device, data = choose_device(command.device), command.data
    assert command.latents.folder is not None and command.text.folder is not None
    codec = make_codec(command.latents, device)
    if data.image_size_px % codec.factor:
        raise InputError(
            f"data.image_size_px: {data.image_size_px} is no multiple of {codec.factor}, by which the "
            f"autoencoder shrinks; nearest: {max(1, round(data.image_size_px / codec.factor)) * codec.factor}"
        )
    text = ClipTextEncoder(command.text.folder, 0, 0, is_read=False).to(device)
    form = data.form()
    index = open_index(form, data.kept_in())
    if index.left_out.counts:
        print(f"left out, {index.left_out}")
    images = SourceImages(form, index, data.image_size_px, data.max_unreadable_share, 0)
    folders = {LATENTS_FOLDER: command.latents.folder, TEXT_FOLDER: command.text.folder}
    encoding = Encoding(
        data=index.digest,
        image_size_px=data.image_size_px,
        encoders={field: frozen_digest(field, folder) for field, folder in folders.items()},
        precision=command.precision,
        images=len(index),
        shard_images=command.shard_images,
        latents=latent_space(codec),
    )
    encoder = Encoder(images, codec, text, encoding, out, command.batch_size, device)
    with _progress(sum(len(numbers) for _, numbers in encoder.missing())) as advance:
        return encoder.run(advance) - len(images.unreadable)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    parts = (
        TextColumn("encoding"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*parts, console=command_console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
