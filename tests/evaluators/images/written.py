"""Images as anybody's files: folders, .npz and shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from evaluators.images.image_set import ImageSet


def random_images(count: int = 12, size: int = 8) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_folder(folder: Path, images: np.ndarray) -> Path:
    """Numbered without zeros before, so that only natural order is the right one."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        (folder / f"{index}.png").write_bytes(png(image))
    return folder


def write_shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, images: np.ndarray, shards: int = 3, suffix: str = "txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(images)), shards)):
        files = {}
        for index in part:
            text = f"caption {index}" if suffix == "txt" else json.dumps({"caption": f"caption {index}"})
            files |= {f"{index:06d}.png": png(images[index]), f"{index:06d}.{suffix}": text.encode()}
        write_shard(folder / f"{number:03d}.tar", files)
    return folder


def decoded(images: ImageSet) -> np.ndarray:
    return np.stack([images.decode(images.read(index)) for index in range(len(images.names))])


def in_every_form(folder: Path, images: np.ndarray) -> list[str]:
    np.savez(folder / "plain.npz", images)
    np.savez_compressed(folder / "compressed.npz", arr_0=images, labels=np.arange(len(images)))
    write_shards(folder / "shards", images)
    return [
        str(write_folder(folder / "folder", images)),
        str(folder / "plain.npz"),
        str(folder / "compressed.npz"),
        str(folder / "shards"),
        str(folder / "shards" / "{000..002}.tar"),
        str(folder / "shards" / "*.tar"),
    ]
