"""Sources as people have them: what is odd about one is read right, or named; nothing is lost unseen."""

from __future__ import annotations

import gzip
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from space.shared.image_files import PassedOver
from space.shared.plain import InputError
from tests.training.data.forms import (
    captioned,
    coco,
    image_bytes,
    json_lines,
    shards,
    tar,
    text_beside,
    write_images,
)
from training.data.sources.forms import Form, ListedImage
from training.data.sources.index import open_index
from training.data.sources.place import open_place
from training.data.sources.recognise import Reading, recognise
from training.data.sources.tables import Torn
from training.data.stream import StreamSettings

IMAGES = captioned(4)


def read(source: Path, **reading: Any) -> Form:
    return recognise(open_place(str(source)), Reading(**reading))


def items(form: Form) -> tuple[list[ListedImage], PassedOver]:
    left_out = PassedOver()
    return [item for _, listing in form.parts() for item in listing(left_out)], left_out


def named(form: Form) -> dict[str, list[str]]:
    return {item.name: item.captions for item in items(form)[0]}


def test_folders_of_any_depth_are_looked_into_where_nothing_lies_above(tmp_path: Path) -> None:
    text_beside(tmp_path / "texts" / "a" / "b" / "c", IMAGES)
    assert list(named(read(tmp_path / "texts"))) == [f"a/b/c/{name}" for name in IMAGES]
    shards(tmp_path / "shards" / "x" / "y", IMAGES)
    assert len(items(read(tmp_path / "shards"))[0]) == 4


def test_files_of_captions_in_folders_name_the_images_beside_them(tmp_path: Path) -> None:
    """They would be read as images without captions."""
    json_lines(tmp_path / "one", IMAGES)
    json_lines(tmp_path / "two", {"0000.png": ["two"]}, "captions.jsonl")
    found = named(read(tmp_path))
    assert len(found) == 5 and found["two/0000.png"] == ["two"]
    json_lines(tmp_path, {"9.png": ["of all"]})  # that of the place itself comes first
    assert named(read(tmp_path)) == {"9.png": ["of all"]}


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    text_beside(tmp_path / "in", IMAGES)
    (tmp_path / "in" / "again").symlink_to("..")
    (tmp_path / "other").symlink_to("in")  # a folder beside is
    found = list(named(read(tmp_path)))
    assert found == [f"in/{name}" for name in IMAGES] + [f"other/{name}" for name in IMAGES]


def test_a_suffix_in_capitals_is_one(tmp_path: Path) -> None:
    (tmp_path / "A.JPG").write_bytes(image_bytes(1, "JPEG"))
    (tmp_path / "A.TXT").write_text("a caption")
    (tmp_path / "B.JPG").write_bytes(image_bytes(2, "JPEG"))
    (tmp_path / "B.Json").write_text('{"caption": "another"}')
    assert named(read(tmp_path)) == {"A.JPG": ["a caption"], "B.JPG": ["another"]}


def test_letters_are_the_same_however_their_accents_are_stored(tmp_path: Path) -> None:
    json_lines(tmp_path, {unicodedata.normalize("NFC", "café.png"): ["coffee"]})
    stored = unicodedata.normalize("NFD", "café.png")
    os.rename(tmp_path / unicodedata.normalize("NFC", "café.png"), tmp_path / stored)
    form = read(tmp_path)
    assert named(form) == {stored: ["coffee"]} and list(form.unnamed()) == []


def test_a_name_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    text_beside(tmp_path, IMAGES)
    for suffix in (b".png", b".txt"):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff" + suffix))).write_bytes(b"x")
    found, left_out = items(read(tmp_path))
    assert len(found) == 4 and left_out.first == {"with a name that is not UTF-8": ["\\xff.png"]}
    tar(tmp_path / "a.tar", [("\udcff.png", image_bytes(0)), ("\udcff.txt", b"a")])
    assert list(named(read(tmp_path / "a.tar"))) == ["a.tar/\\xff.png"]


def test_a_folder_or_a_pipe_is_no_image(tmp_path: Path) -> None:
    """Reading one would wait for as long as for a server."""
    json_lines(tmp_path, captioned(6))
    for name, make in (("0000.png", os.mkdir), ("0001.png", os.mkfifo)):
        (tmp_path / name).unlink()
        make(tmp_path / name)
    found, left_out = items(read(tmp_path))
    assert len(found) == 4 and left_out.counts == {"named and not there": 2}


def test_images_that_no_caption_names_are_found(tmp_path: Path) -> None:
    write_images(tmp_path, captioned(4))
    write_images(tmp_path / "sub", {"x.PNG": [""]})
    rows = [{"file_name": name, "caption": text} for name, text in (("0000.png", "a"), ("./0001.png", " "))]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert list(read(tmp_path).unnamed()) == ["0002.png", "0003.png", "sub/x.PNG"]
    json_lines(tmp_path / "split" / "train", IMAGES, "metadata.jsonl", "text")
    write_images(tmp_path / "split" / "test", {"y.png": [""]})
    assert list(read(tmp_path / "split").unnamed()) == ["test/y.png"]


def test_what_was_not_there_and_is_by_now_is_listed(tmp_path: Path) -> None:
    json_lines(tmp_path / "data", IMAGES)
    (tmp_path / "data" / "0002.png").rename(tmp_path / "later.png")
    assert len(open_index(read(tmp_path / "data"), tmp_path / "cache")) == 3
    (tmp_path / "later.png").rename(tmp_path / "data" / "0002.png")
    index = open_index(read(tmp_path / "data"), tmp_path / "cache")
    assert len(index) == 4 and index.left_out.counts == {}


def test_the_command_that_lists_anew_is_whole(tmp_path: Path) -> None:
    json_lines(tmp_path / "my data", IMAGES, field="title")
    form = StreamSettings(source=str(tmp_path / "my data"), caption_field="title").form()
    located = open_index(form, tmp_path / "cache").located(0)
    (tmp_path / "my data" / "0000.png").write_bytes(b"another size")
    with pytest.raises(InputError, match=r"mdsearch data '.*/my data' data\.caption_field=title relist=true"):
        form.read([located])


def test_annotations_of_coco_that_are_named_are_read_as_such(tmp_path: Path) -> None:
    coco(tmp_path, IMAGES)
    second = tmp_path / "annotations" / "captions_train2014.json"
    second.write_text("{}")
    with pytest.raises(InputError, match=r"as in data\.captions=annotations/captions_train2014\.json"):
        read(tmp_path)
    form = read(tmp_path, captions="annotations/captions_val2014.json")
    assert form.name == "coco" and list(named(form)) == [f"val2014/{name}" for name in IMAGES]


# ---------------------------------------------------------------------- shards


def test_compressed_shards_are_not_passed_over(tmp_path: Path) -> None:
    shards(tmp_path, captioned(6))
    content = (tmp_path / "00001.tar").read_bytes()
    (tmp_path / "00002.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=r"holds compressed shards \(00002\.tar\.gz\)"):
        read(tmp_path)
    (tmp_path / "00001.tar").write_bytes(gzip.compress(content))
    found, left_out = items(read(tmp_path / "0000?.tar"))
    assert len(found) == 3 and left_out.first["torn shards"] == [
        "00001.tar after 0 samples: it is compressed; needed: unpacked"
    ]


def test_shards_that_were_joined_are_said_to_be(tmp_path: Path) -> None:
    """Only the first one's members would be found."""
    shards(tmp_path, captioned(6))
    content = [(tmp_path / f"0000{number}.tar").read_bytes() for number in range(2)]
    (tmp_path / "00000.tar").write_bytes(b"".join(content))
    (tmp_path / "00001.tar").write_bytes(content[1] + bytes(1 << 21))  # filled up
    found, left_out = items(read(tmp_path))
    assert {item.name for item in found} >= {f"00001.tar/000{number}.png" for number in (3, 4, 5)}
    (why,) = left_out.first["torn shards"]
    assert why.startswith("00000.tar after 2 samples: more follows behind its end mark")


def test_members_of_one_name_are_samples_of_their_own(tmp_path: Path) -> None:
    """A second image would be lost, or get the first one's caption."""
    members = [(f"0{end}", content) for n in range(3) for end, content in sample(n)]
    tar(tmp_path / "a.tar", members)
    found, left_out = items(read(tmp_path / "a.tar"))
    assert [item.captions for item in found] == [["text 0"], ["text 1"], ["text 2"]] and not left_out.counts
    content = (tmp_path / "a.tar").read_bytes()
    assert [content[item.offset :][: item.size] for item in found] == [image_bytes(n) for n in range(3)]


def test_members_that_do_not_follow_each_other_are_said_to(tmp_path: Path) -> None:
    whole = [(f"{n}{end}", content) for n in range(3) for end, content in sample(n)]
    tar(tmp_path / "a.tar", whole[4:] + [(f"9{end}", content) for end, content in sample(9)] + whole[:3:2])
    tar(tmp_path / "a.tar", [whole[0], whole[2], whole[3], whole[1], ("x.y.png", b"x"), ("z.txt", b"z")])
    found, left_out = items(read(tmp_path / "a.tar"))
    assert [item.captions for item in found] == [["text 1"]]
    assert left_out.first == {
        "without a caption": ["a.tar/0.png"],
        "members of a sample that do not follow each other": ["a.tar/0"],
        "samples whose image has dots in its name, of which a key ends at the first": ["a.tar/x.y.png"],
        "samples without an image": ["a.tar/z"],
    }


def sample(number: int) -> list[tuple[str, bytes]]:
    return [(".png", image_bytes(number)), (".txt", f"text {number}".encode())]


# ---------------------------------------------------------------------- parquet


def torn_group(file: Path, column: str, group: int, rows: int = 2) -> None:
    """Four groups of rows, of one of which a column is damaged."""
    count = range(4 * rows)
    table = pa.table({"image": [image_bytes(n) for n in count], "text": [f"text {n}" for n in count]})
    parquet.write_table(table, file, row_group_size=rows, use_dictionary=False)
    chunks = parquet.ParquetFile(file).metadata.row_group(group)
    columns = [chunks.column(number) for number in range(chunks.num_columns)]
    chunk = next(each for each in columns if each.path_in_schema == column)
    content, first = bytearray(file.read_bytes()), chunk.data_page_offset
    content[first : first + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    file.write_bytes(content)


def test_a_torn_group_of_rows_is_waited_for_by_nobody(tmp_path: Path) -> None:
    """Arrow says so with the system's error, as of a server that is away."""
    torn_group(tmp_path / "text.parquet", "text", 1)
    found, left_out = items(read(tmp_path / "text.parquet"))
    assert [item.captions[0] for item in found] == [f"text {n}" for n in (0, 1, 4, 5, 6, 7)]
    assert left_out.counts == {"torn shards": 1}
    assert left_out.first["torn shards"][0].startswith("text.parquet#1: torn or no parquet: ")

    torn_group(tmp_path / "image.parquet", "image", 2)
    form = read(tmp_path / "image.parquet")
    index = open_index(form, tmp_path / "cache")
    contents = form.read([index.located(number) for number in range(8)])
    assert [str(each)[:4] if number in (4, 5) else each for number, each in enumerate(contents)] == [
        "torn" if number in (4, 5) else image_bytes(number) for number in range(8)
    ]


def test_a_torn_file_among_others_is_counted_as_a_shard(tmp_path: Path) -> None:
    torn_group(tmp_path / "b.parquet", "text", 0)
    (tmp_path / "a.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-30])
    form = read(tmp_path)
    found, left_out = items(form)
    assert len(found) == 6 and left_out.counts == {"torn shards": 2} and form.image_bytes()
    (tmp_path / "b.parquet").unlink()
    with pytest.raises(Torn, match=r"data\.source: a\.parquet is torn"):
        read(tmp_path)


def test_a_file_that_is_written_anew_gives_no_other_images(tmp_path: Path) -> None:
    """Where an image was, another one of as many bytes would stand beside its caption."""
    order = [(f"{n}{end}", content) for n in (0, 1, 2) for end, content in sample(n)]
    tar(tmp_path / "a.tar", order)
    form = read(tmp_path / "a.tar")
    index = open_index(form, tmp_path / "cache")
    located = [index.located(number) for number in range(3)]
    assert form.read(located) == [image_bytes(number) for number in range(3)]
    tar(tmp_path / "a.tar", [*order[2:4], *order[:2], *order[4:]])
    assert form.read(located[2:]) == [image_bytes(2)]
    with pytest.raises(InputError, match=r"a\.tar has changed: a\.tar/0\.png lies no longer where"):
        form.read(located)

    long = "f/" * 60 + "0"  # of which tar's headers hold a part, as of letters beyond ASCII
    tar(tmp_path / "b.tar", [(f"{name}{end}", each) for name in (long, "ü") for end, each in sample(4)])
    form = read(tmp_path / "b.tar")
    index = open_index(form, tmp_path / "cache")
    assert form.read([index.located(0), index.located(1)]) == [image_bytes(4)] * 2

    torn_group(tmp_path / "c.parquet", "text", 0)
    form = recognise(open_place(str(tmp_path / "c.parquet")), Reading(memory_bytes=0))
    index = open_index(form, tmp_path / "cache")
    form.read([index.located(0)])
    torn_group(tmp_path / "c.parquet", "text", 3)
    with pytest.raises(InputError, match=r"c\.parquet has changed since it was first read"):
        form.read([index.located(5)])


def test_a_torn_group_of_many_rows_is_passed_by(tmp_path: Path) -> None:
    """Of which no image after another can be read."""
    torn_group(tmp_path / "0.parquet", "image", 1, rows=100)
    source, cache = str(tmp_path / "0.parquet"), str(tmp_path / "cache")
    settings = StreamSettings(source=source, cache_folder=cache, image_size_px=8, max_unreadable_share=0.5)
    data = settings.load()
    _, captions = data.at(range(data.train_images), seed=0)
    assert not {f"text {n}" for n in range(100, 200)} & set(captions) and len(data.unreadable) >= 95
