"""The same few captioned images in every form that they come in."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

Captioned = Mapping[str, Sequence[str]]  # name -> captions


def image_bytes(number: int, form: str = "PNG") -> bytes:
    """8 x 8 pixels of the grey 10 x number."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 10 * number % 250, np.uint8)).save(buffer, form)
    return buffer.getvalue()


def captioned(count: int, captions: int = 1) -> dict[str, list[str]]:
    several = (lambda n: [f"image {n} caption {c}" for c in range(captions)]) if captions > 1 else None
    return {f"{n:04}.png": several(n) if several else [f"image {n}, grey"] for n in range(count)}


def write_images(folder: Path, images: Captioned) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(images):
        (folder / name).write_bytes(image_bytes(number))


def _rows(images: Captioned) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in images.items() for text in texts]


def json_lines(folder: Path, images: Captioned, name: str = "captions.jsonl", field: str = "caption") -> None:
    write_images(folder, images)
    lines = (json.dumps({"file_name": image, field: text}) for image, text in _rows(images))
    (folder / name).write_text("\n".join(lines))


def table(folder: Path, images: Captioned, name: str = "captions.csv", field: str = "caption") -> None:
    write_images(folder, images)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",")
        writer.writerows([("file_name", field), *_rows(images)])


def text_beside(folder: Path, images: Captioned) -> None:
    write_images(folder, images)
    for name, texts in images.items():
        (folder / name).with_suffix(".txt").write_text(f"{texts[0]}\n")


def coco(folder: Path, images: Captioned) -> None:
    """As COCO lays it out: annotations beside the folder of a split."""
    write_images(folder / "val2014", images)
    (folder / "annotations").mkdir()
    numbers = {name: 100 + number for number, name in enumerate(images)}
    notes = [
        {"image_id": numbers[name], "id": number, "caption": text}
        for number, (name, text) in enumerate(_rows(images))
    ]
    listed = [{"id": number, "file_name": name, "width": 8, "height": 8} for name, number in numbers.items()]
    plain = {"info": {}, "images": listed, "annotations": notes, "licenses": []}
    (folder / "annotations" / "captions_val2014.json").write_text(json.dumps(plain))


def tar(file: Path, members: Sequence[tuple[str, bytes]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def shards(folder: Path, images: Captioned, per_shard: int = 3) -> None:
    names = list(images)
    for first in range(0, len(names), per_shard):
        members = []
        for number in range(first, min(first + per_shard, len(names))):
            name, texts = names[number], images[names[number]]
            row = {"caption": list(texts) if len(texts) > 1 else texts[0]}
            text = json.dumps(row) if len(texts) > 1 else texts[0]
            suffix = "json" if len(texts) > 1 else "txt"
            members += [(name, image_bytes(number)), (f"{Path(name).stem}.{suffix}", text.encode())]
        tar(folder / f"{first // per_shard:05}.tar", members)


def img2dataset(folder: Path, images: Captioned) -> None:
    """Shards with a report and a table of what was fetched beside each."""
    shards(folder, images, 4)
    for shard in sorted(folder.glob("*.tar")):
        (folder / f"{shard.stem}_stats.json").write_text(json.dumps({"count": 4, "successes": 4}))
        columns = {"url": ["a"], "caption": ["an image that is elsewhere"], "status": ["success"]}
        parquet.write_table(pa.table(columns), folder / f"{shard.stem}.parquet")


def hugging_face_parquet(folder: Path, images: Captioned) -> None:
    """As `datasets` writes it, two rows a group."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": image_bytes(number), "path": name} for number, name in enumerate(images)]
    texts = [list(texts) if len(texts) > 1 else texts[0] for texts in images.values()]
    rows = pa.table({"image": pa.array(values, kind), "text": texts})
    (folder / "data").mkdir(parents=True)
    half = len(images) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        parquet.write_table(part, folder / "data" / f"train-{number:05}-of-00002.parquet", row_group_size=2)


def img2dataset_parquet(folder: Path, images: Captioned) -> None:
    """With a row of an image that could not be fetched."""
    columns = {
        "key": [*(Path(name).stem for name in images), "9999"],
        "jpg": [*(image_bytes(number) for number in range(len(images))), None],
        "caption": [*(texts[0] for texts in images.values()), "gone"],
        "status": [*("success" for _ in images), "failed_to_download"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), folder / "00000.parquet", row_group_size=5)


Writer = Callable[[Path, Captioned], None]
FORMS: dict[str, tuple[str, Writer]] = {
    "json lines": ("captions", json_lines),
    "csv": ("captions", lambda folder, images: table(folder, images, "captions.csv")),
    "tsv": ("captions", lambda folder, images: table(folder, images, "captions.tsv", "text")),
    "metadata.jsonl": ("huggingface", lambda f, images: json_lines(f, images, "metadata.jsonl", "text")),
    "metadata.csv": ("huggingface", lambda folder, images: table(folder, images, "metadata.csv", "text")),
    "text beside": ("txt", text_beside),
    "coco": ("coco", coco),
    "shards": ("webdataset", shards),
    "img2dataset": ("webdataset, by img2dataset", img2dataset),
    "parquet": ("parquet", hugging_face_parquet),
    "img2dataset parquet": ("parquet", img2dataset_parquet),
}
ONE_CAPTION = {"text beside", "img2dataset parquet"}
