"""Which form lies at a place; what cannot be told is refused, and said how to tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from space.shared.image_files import PassedOver
from space.shared.plain import InputError
from tests.training.data.forms import FORMS, captioned, coco, image_bytes, json_lines, shards, table, tar
from training.data.sources.forms import Form, ListedImage
from training.data.sources.place import open_place
from training.data.sources.recognise import Reading, recognise

IMAGES = captioned(4)


def read(source: Path, **reading: str) -> Form:
    return recognise(open_place(str(source)), Reading(**reading))  # type: ignore[arg-type]


def items(form: Form) -> tuple[list[ListedImage], PassedOver]:
    left_out = PassedOver()
    return [item for _, listing in form.parts() for item in listing(left_out)], left_out


def nothing(folder: Path) -> None:
    folder.mkdir()


def two_forms(folder: Path) -> None:
    shards(folder, IMAGES)
    json_lines(folder, IMAGES)


def two_annotations(folder: Path) -> None:
    coco(folder, IMAGES)
    (folder / "annotations" / "captions_train2014.json").write_text("{}")


def semicolons(folder: Path) -> None:
    folder.mkdir()
    (folder / "captions.csv").write_text("file_name;caption\na.png;a caption\n")


def torn_table(folder: Path) -> None:
    other_columns(folder)
    content = (folder / "0.parquet").read_bytes()
    (folder / "0.parquet").write_bytes(content[: len(content) // 2])


def other_columns(folder: Path) -> None:
    folder.mkdir()
    columns = {"picture": [image_bytes(0)], "captoin": ["a"]}
    parquet.write_table(pa.table(columns), folder / "0.parquet")


@pytest.mark.parametrize(
    ("write", "reading", "message"),
    [
        (nothing, {}, r"holds nothing; needed: images with captions\.jsonl"),
        (two_forms, {}, r"may be read as webdataset or as captions; data\.format=webdataset would say so"),
        (FORMS["csv"][1], {"format": "parquet"}, r"data\.format: parquet does not lie at .*, but captions"),
        (two_annotations, {}, r"captions_train2014\.json, annotations/captions_val2014\.json; one of them"),
        (FORMS["csv"][1], {"captions": "other.csv"}, r"data\.captions: 'other\.csv' is no file"),
        (FORMS["csv"][1], {"format": "txt", "captions": "captions.csv"}, r"has no place in data\.format=txt"),
        (FORMS["csv"][1], {"caption_field": "caption_"}, r"has no caption_; did you mean 'caption'"),
        (semicolons, {}, r"line 2 has one column, 'file_name;caption'; needed: columns divided by commas"),
        (torn_table, {}, r"data\.source: 0\.parquet is torn or no parquet"),
        (
            other_columns,
            {},
            r"data\.caption_field: 0\.parquet has no column 'caption'; did you mean 'captoin'",
        ),
        (other_columns, {"caption_field": "captoin", "image_field": "pictures"}, r"did you mean 'picture'"),
    ],
)
def test_what_cannot_be_told_is_refused(
    write: Callable[[Path], None] | Callable[[Path, object], None],
    reading: dict[str, str],
    message: str,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    if write in (nothing, two_forms, two_annotations, semicolons, torn_table, other_columns):
        write(folder)  # type: ignore[call-arg]
    else:
        write(folder, IMAGES)  # type: ignore[call-arg]
    with pytest.raises(InputError, match=message):
        items(read(folder, **reading))


def test_two_forms_are_read_as_the_one_that_is_named(tmp_path: Path) -> None:
    two_forms(tmp_path / "data")
    assert read(tmp_path / "data", format="webdataset").name == "webdataset"
    assert read(tmp_path / "data", format="captions").name == "captions"


def test_a_file_of_captions_may_lie_elsewhere_and_name_images_in_many_ways(tmp_path: Path) -> None:
    json_lines(tmp_path / "data", IMAGES)
    names = ["0000.png", "./0000.png", str(tmp_path / "data" / "0000.png"), "sub/../0000.png"]
    lines = [json.dumps({"image": name, "text": f"{number}"}) for number, name in enumerate(names)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    (only,), left_out = items(read(tmp_path / "data", captions=str(tmp_path / "mine.jsonl")))
    assert (only.name, only.captions, left_out.counts) == ("0000.png", ["0", "1", "2", "3"], {})


def test_a_file_of_captions_and_a_pattern_are_sources_themselves(tmp_path: Path) -> None:
    table(tmp_path / "data", IMAGES, "mine.tsv", "text")
    form = read(tmp_path / "data" / "mine.tsv")
    assert form.name == "captions" and len(items(form)[0]) == 4
    shards(tmp_path / "shards", captioned(12))
    assert len(items(read(tmp_path / "shards" / "{00000..00002}.tar"))[0]) == 9
    assert len(items(read(tmp_path / "shards" / "*[13].tar"))[0]) == 6
    with pytest.raises(InputError, match=r"00004\.tar' does not exist; it is named by"):
        read(tmp_path / "shards" / "{00000..00004}.tar")


def test_images_by_a_pattern_are_no_source(tmp_path: Path) -> None:
    """The whole folder would be read."""
    FORMS["text beside"][1](tmp_path, IMAGES)
    with pytest.raises(InputError, match=r"names images, .*; needed: their folder"):
        read(tmp_path / "000[01].png")


def test_metadata_of_each_split_names_images_beside_it(tmp_path: Path) -> None:
    for split in ("test", "train"):
        json_lines(tmp_path / split, IMAGES, "metadata.jsonl", "text")
    found, _ = items(read(tmp_path))
    assert [item.name for item in found[:1] + found[-1:]] == ["test/0000.png", "train/0003.png"]


def test_what_of_a_shard_is_no_sample_is_counted(tmp_path: Path) -> None:
    members = [
        ("a/0.png", image_bytes(0)), ("a/0.txt", b""), ("a/0.json", b'{"caption": ["one", " two "]}'),
        ("1.png", image_bytes(1)),
        ("2.txt", b"no image"),
        ("3.png", image_bytes(3)), ("3.txt", b"  "),
        ("5.png", b""), ("5.txt", b"empty"),
        ("4.jpg", image_bytes(4, "JPEG")), ("4.seg.png", image_bytes(5)), ("4.txt", "\ufeffvier".encode()),
    ]  # fmt: skip
    tar(tmp_path / "0.tar", members)
    found, left_out = items(read(tmp_path / "0.tar"))
    assert [(item.name, item.captions) for item in found] == [
        ("0.tar/a/0.png", ["one", "two"]),
        ("0.tar/4.jpg", ["vier"]),
    ]
    assert left_out.counts == {
        "without a caption": 1,
        "samples without an image": 1,
        "with an empty caption": 1,
        "empty images": 1,
    }
    content = (tmp_path / "0.tar").read_bytes()
    assert content[found[1].offset :][: found[1].size] == image_bytes(4, "JPEG")


def test_a_damaged_header_is_a_tear_too(tmp_path: Path) -> None:
    """Python's tarfile would end there without a word."""
    shards(tmp_path, captioned(3))
    content = bytearray((tmp_path / "00000.tar").read_bytes())
    content[2048:2060] = b"\xff" * 12  # the second image's
    (tmp_path / "00000.tar").write_bytes(content)
    found, left_out = items(read(tmp_path))
    assert len(found) == 0 or len(found) == 1
    assert left_out.counts == {"torn shards": 1}
