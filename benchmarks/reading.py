"""Whether the readers keep up with training: images a second that each reads, beside those that steps take:
of the default proxy, and of MD at a quarter of its widths on the latents that are read.

    python -m benchmarks.reading [images=400]
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.lab import given_counts, run_as_command
from conf.compose import compose
from space.architecture import Architecture
from space.proxy import Proxy, narrow
from space.shared.plain import from_plain
from training.data.encoded import EncodedSettings
from training.data.encoded_files import Encoding, shard_path, write_encoding, write_shard
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.data.stream import StreamSettings
from training.rehearsal import rehearse
from training.settings import TrainingSettings
from training.timing import seconds_per_step
from training.trainer import Trainer

SIZE_PX, LATENTS, FEATURES, BATCH = 512, (8, 64, 64), (77, 768), 16


def main(words: list[str]) -> int:
    count = given_counts(words, {"images": 400})["images"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_photos(folder / "photos", count)
        _write_encoded(folder / "encoded", count)
        cache = str(folder / "cache")
        photos = StreamSettings(
            source=str(folder / "photos"), image_size_px=SIZE_PX, cache_folder=cache, memory_mib=1
        )
        stream = load_data(photos)
        encoded = load_data(
            EncodedSettings(folder=str(folder / "encoded"), image_size_px=SIZE_PX, cache_folder=cache)
        )
        for name, data in {
            f"JPEG of {SIZE_PX} px in shards": stream,
            "latents and features": encoded,
        }.items():
            print(f"{name}: {_rate(partial(data.examples, seed=0), count):,.0f} images/s")
    plain = compose("train", [])
    architecture = narrow(Architecture.from_plain(plain["arch"], "arch"), from_plain(Proxy, plain["proxy"]))
    settings: TrainingSettings = from_plain(TrainingSettings, plain["training"])
    trainer = Trainer(architecture, load_data(ScenesSettings(scenes=720)), settings, seed=0)
    rate = settings.batch_size / seconds_per_step(trainer)
    print(f"a step of the default proxy on {trainer.device}: {rate:,.0f} images/s")
    md = narrow(Architecture.from_plain(plain["arch"], "arch"), Proxy(width_divisor=4, norm_groups=8))
    one = rehearse(md, TrainingSettings(), images=2)
    print(f"a step of MD, 1/4 as wide, on such latents: {one.images_per_second:,.1f} images/s")
    return 0


def _rate(read: Callable[[range], object], count: int) -> float:
    read(range(BATCH))
    began = time.perf_counter()
    for first in range(0, count - BATCH, BATCH):
        read(range(first, first + BATCH))
    return (count - BATCH) / (time.perf_counter() - began)


def _write_photos(folder: Path, count: int) -> None:
    """Noise that is smooth, as photographs are."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for shard in range(4):
        with tarfile.open(folder / f"{shard:05}.tar", "w") as archive:
            for number in range(shard, count, 4):
                coarse = Image.fromarray(rng.integers(0, 256, (32, 40, 3), np.uint8))
                buffer = io.BytesIO()
                coarse.resize((640, 512), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
                for name, content in (
                    (f"{number:06}.jpg", buffer.getvalue()),
                    (f"{number:06}.txt", b"a photo"),
                ):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))


def _write_encoded(folder: Path, count: int) -> None:
    folder.mkdir()
    encoding = Encoding("", SIZE_PX, {}, "bf16", count, -(-count // 4))
    write_encoding(folder, encoding, torch.zeros(FEATURES, dtype=torch.bfloat16))
    for shard in range(4):
        rows = len(range(shard, count, 4))
        latents = torch.randn(rows, *LATENTS).bfloat16()
        features = torch.randn(rows, *FEATURES).bfloat16()
        names = [f"{shard}/{row}" for row in range(rows)]
        write_shard(shard_path(folder, shard), encoding, latents, features, names, [["a photo"]] * rows)


if __name__ == "__main__":
    run_as_command(main, __doc__)
