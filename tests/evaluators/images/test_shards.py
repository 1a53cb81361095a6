"""What a shard holds besides images: captions, and members that are passed over."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from evaluators.images.captions import captions_of
from evaluators.images.image_set import open_images
from evaluators.images.shards import DOTTED
from space.shared.plain import InputError
from tests.evaluators.images.written import png, random_images, write_shard, write_shards


@pytest.mark.parametrize("suffix", ["txt", "json"])
def test_shards_bring_their_captions(tmp_path: Path, suffix: str) -> None:
    images = open_images(str(write_shards(tmp_path, random_images(7), suffix=suffix)))
    assert captions_of(images, None) == [f"caption {index}" for index in range(7)]


def test_some_images_of_a_shard_without_caption_are_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"0.png": png(random_images(1)[0]), "0.txt": b"zero", "1.png": b""})
    with pytest.raises(InputError, match=r"1 of 2 .*: a\.tar/1\.png"):
        captions_of(open_images(str(tmp_path / "a.tar")), None)


def test_members_that_are_passed_over_are_counted_and_named(tmp_path: Path) -> None:
    """webdataset takes all behind the first dot for the suffix: of a second image, or a dotted name."""
    image = png(random_images(1)[0])
    (tmp_path / "shards").mkdir()
    names = ("0.png", "0.seg.png", "img.v1.png", "0.cls", "._0.png", "1.heic")
    write_shard(tmp_path / "shards" / "a.tar", dict.fromkeys(names, image))
    with tarfile.open(tmp_path / "shards" / "a.tar", "a") as archive:
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0.png"
        archive.addfile(link)
    (tmp_path / "shards" / "b.tar.gz").touch()
    images = open_images(str(tmp_path / "shards"))
    assert images.names == ["a.tar/0.png"]
    dotted = images.passed_over.first.pop(DOTTED)
    assert dotted == ["a.tar/0.seg.png", "a.tar/img.v1.png"]
    assert images.passed_over.first == {
        ".cls": ["a.tar/0.cls"], ".heic": ["a.tar/1.heic"], "links": ["a.tar/2.png"], ".gz": ["b.tar.gz"],
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", random_images(2), labels=np.arange(2))
    assert open_images(str(tmp_path / "a.npz")).passed_over.first == {"other arrays": ["labels"]}
    write_shard(tmp_path / "c.tar", {"img.v1.png": image})
    with pytest.raises(InputError, match=r"1 of dotted names.*c\.tar/img\.v1\.png"):
        open_images(str(tmp_path / "c.tar"))


def test_an_empty_text_does_not_hide_the_json_beside_it(tmp_path: Path) -> None:
    image = png(random_images(1)[0])
    files = {
        "0.png": image,
        "0.txt": b"\n",
        "0.json": b'{"caption": "zero"}',
        "1.png": image,
        "1.txt": b"one",
    }
    write_shard(tmp_path / "a.tar", files | {"1.json": b"not read"})
    assert captions_of(open_images(str(tmp_path / "a.tar")), None) == ["zero", "one"]
    write_shard(tmp_path / "b.tar", files | {"0.json": b'{"caption": ""}'})
    with pytest.raises(InputError, match=r"b\.tar/0\.json .* empty"):
        captions_of(open_images(str(tmp_path / "b.tar")), None)
