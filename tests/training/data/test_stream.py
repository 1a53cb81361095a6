"""Captioned images from every form: the same images with the same captions, in one order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from space.shared.plain import InputError
from tests.training.data.forms import FORMS, ONE_CAPTION, captioned, image_bytes, shards, tar, write_images
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.data.stream import Stream, StreamSettings

IMAGES = captioned(12)
SEVERAL = captioned(12, captions=5)
by_form = pytest.mark.parametrize("form", FORMS)


def settings(source: Path | str, cache: Path, **changes: object) -> StreamSettings:
    given = {"image_size_px": 8, "held_out_share": 0.25, "cache_folder": str(cache), "patience_seconds": 0}
    return StreamSettings(source=str(source), **(given | changes))  # type: ignore[arg-type]


def opened(source: Path | str, cache: Path, **changes: object) -> Dataset:
    return load_data(settings(source, cache, **changes))


def shown(images: torch.Tensor) -> list[int]:
    """The numbers of the images, by their grey."""
    greys = (images.amax((1, 2, 3)) + 1) * 127.5
    assert torch.equal(images.amax((1, 2, 3)), images.amin((1, 2, 3)))
    return [round(float(grey)) // 10 for grey in greys]


def pairs(data: Dataset) -> Iterator[tuple[int, str]]:
    """Number and caption of every image of both splits."""
    for images, captions in (
        data.train(range(len(data.train_captions))),
        data.held_out(range(len(data.held_out_captions))),
    ):
        yield from zip(shown(images), captions, strict=True)


@by_form
def test_every_form_gives_the_same_images_and_captions(form: str, tmp_path: Path) -> None:
    name, write = FORMS[form]
    write(tmp_path / "data", IMAGES)
    data = opened(tmp_path / "data", tmp_path / "cache")
    assert dict(pairs(data)) == {number: texts[0] for number, texts in enumerate(IMAGES.values())}
    assert len(data.held_out_captions) == 3 and data.train_images == 9
    assert data.notes()[0].endswith(f"read as {name}") and "12 images with 12 captions" in data.notes()[0]


@by_form
def test_every_form_is_read_as_it_is_named(form: str, tmp_path: Path) -> None:
    name, write = FORMS[form]
    write(tmp_path / "data", IMAGES)
    named = "img2dataset" if form.startswith("img2dataset") else name
    assert len(opened(tmp_path / "data", tmp_path / "cache", format=named).train_captions) == 9


@pytest.mark.parametrize("form", ["json lines", "coco", "shards", "parquet", "metadata.jsonl"])
def test_an_address_gives_what_a_folder_does(form: str, tmp_path: Path) -> None:
    FORMS[form][1](tmp_path / "data", IMAGES)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "data"), f"/{tmp_path.name}", recursive=True)
    try:
        there = opened(f"memory://{tmp_path.name}", tmp_path / "cache")
        here = opened(tmp_path / "data", tmp_path / "cache")
        assert sorted(pairs(there)) == sorted(pairs(here)) and there.digest == here.digest
        assert torch.equal(there.at(range(20), seed=1)[0], here.at(range(20), seed=1)[0])
    finally:
        memory.rm(f"/{tmp_path.name}", recursive=True)


@pytest.mark.parametrize("form", sorted(FORMS.keys() - ONE_CAPTION))
def test_of_several_captions_seed_and_epoch_choose_one(form: str, tmp_path: Path) -> None:
    FORMS[form][1](tmp_path / "data", SEVERAL)
    data = opened(tmp_path / "data", tmp_path / "cache")
    epochs = [dict(zip(shown(images), texts, strict=True)) for images, texts in _epochs(data, 8)]
    assert all(len(epoch) == 9 for epoch in epochs)
    for number, text in epochs[0].items():
        assert text in list(SEVERAL.values())[number]
        assert len({epoch[number] for epoch in epochs}) > 1
    again = opened(tmp_path / "data", tmp_path / "cache")
    assert again.at(range(9, 18), seed=0)[1] == data.at(range(9, 18), seed=0)[1]
    assert again.at(range(9, 18), seed=1)[1] != data.at(range(9, 18), seed=0)[1]
    assert all(text.endswith("caption 0") for text in data.held_out_captions)


def _epochs(data: Dataset, count: int) -> Iterator[tuple[torch.Tensor, list[str]]]:
    for epoch in range(count):
        yield data.at(range(data.train_images * epoch, data.train_images * (epoch + 1)), seed=0)


def test_a_training_goes_on_at_any_place(tmp_path: Path) -> None:
    shards(tmp_path / "data", SEVERAL)
    whole = opened(tmp_path / "data", tmp_path / "cache", block_samples=4).at(range(30), seed=3)
    for place in (1, 9, 17):
        tail = opened(tmp_path / "data", tmp_path / "cache", block_samples=4).at(range(place, 30), seed=3)
        assert torch.equal(tail[0], whole[0][place:]) and tail[1] == whole[1][place:]


def test_a_batch_far_on_reads_its_own_images_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards(tmp_path / "data", IMAGES)
    data = opened(tmp_path / "data", tmp_path / "cache", memory_mib=0)
    memory = StreamSettings.form(settings(tmp_path / "data", tmp_path / "cache"))
    read: list[int] = []
    before = type(memory).read
    monkeypatch.setattr(
        type(memory), "read", lambda self, wanted: read.append(len(wanted)) or before(self, wanted)
    )
    data.at(range(10**15, 10**15 + 4), seed=0)
    assert sum(read) <= 4


def test_the_digest_is_of_what_is_learnt_wherever_it_lies(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        shards(tmp_path / folder, IMAGES)
    first = opened(tmp_path / "a", tmp_path / "cache")
    assert opened(tmp_path / "b", tmp_path / "other").digest == first.digest
    assert opened(tmp_path / "a", tmp_path / "cache", block_samples=5).digest != first.digest
    assert opened(tmp_path / "a", tmp_path / "cache", seed=1).digest != first.digest
    changed = dict(IMAGES) | {"0003.png": ["another one"]}
    shards(tmp_path / "a", changed)
    assert opened(tmp_path / "a", tmp_path / "cache").digest != first.digest


def test_an_unreadable_image_is_named_and_the_next_one_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards(tmp_path / "data", IMAGES)
    members = [
        ("0003.png", b"no image"),
        ("0003.txt", b"broken"),
        ("0004.png", image_bytes(4)),
        ("0004.txt", b"4"),
    ]
    tar(tmp_path / "data" / "00001.tar", members)
    data = opened(tmp_path / "data", tmp_path / "cache", held_out_share=0.1, memory_mib=0)
    images, captions = data.at(range(data.train_images), seed=0)
    assert "broken" not in captions and len(shown(images)) == data.train_images
    assert data.unreadable == ["00001.tar/0003.png"]
    assert capsys.readouterr().err.count("unreadable: 00001.tar/0003.png: cannot identify") == 1
    assert any(note.endswith("unreadable: 1 (00001.tar/0003.png)") for note in data.notes())


def test_too_many_unreadable_images_end_it(tmp_path: Path) -> None:
    shards(tmp_path / "data", IMAGES)
    broken = [(f"{n}.{end}", b"x") for n in range(20) for end in ("png", "txt")]
    tar(tmp_path / "data" / "00009.tar", broken)
    data = opened(tmp_path / "data", tmp_path / "cache", max_unreadable_share=0.1, held_out_at_most=6)
    with pytest.raises(InputError, match=r"11 images cannot be read \(.*allowed: at most 10% of 100"):
        data.at(range(data.train_images), seed=0)


def test_a_torn_shard_is_used_up_to_where_it_is_torn(tmp_path: Path) -> None:
    shards(tmp_path / "data", IMAGES)
    torn = tmp_path / "data" / "00003.tar"
    content = torn.read_bytes()
    for cut, left in ((2048 + 300, 9), (1024, 9), (4096, 10), (700, 9)):
        torn.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"1 torn shards \(00003\.tar after \d samples: .*at most 5%"):
            opened(tmp_path / "data", tmp_path / "cache")
        data = opened(tmp_path / "data", tmp_path / "cache", max_unreadable_share=0.5)
        assert data.train_images + len(data.held_out_captions) == left
        assert any("1 torn shards (00003.tar after" in note for note in data.notes())


def test_a_shard_that_is_torn_later_ends_with_the_reason(tmp_path: Path) -> None:
    shards(tmp_path / "data", IMAGES)
    data = opened(tmp_path / "data", tmp_path / "cache", held_out_share=0.1)
    for shard in (tmp_path / "data").glob("*.tar"):
        shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(InputError, match=r"\.tar is torn: of .*, \d+ of \d+ bytes are there"):
        data.at(range(data.train_images), seed=0)


@pytest.mark.parametrize("form", ["shards", "json lines", "parquet"])
def test_an_address_that_goes_away_is_waited_for_and_then_said(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORMS[form][1](tmp_path / "data", IMAGES)
    away = tmp_path / "away"
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 2:
            away.rename(tmp_path / "data")

    changes = {"patience_seconds": 30.0, "held_out_share": 0.1, "memory_mib": 0}
    data = opened(tmp_path / "data", tmp_path / "cache", **changes)
    expected = shown(opened(tmp_path / "data", tmp_path / "cache", **changes).at(range(11), seed=0)[0])
    (tmp_path / "data").rename(away)
    monkeypatch.setattr("time.sleep", pause)
    assert shown(data.at(range(11), seed=0)[0]) == expected and paused == [1, 2]
    data = opened(tmp_path / "data", tmp_path / "cache", **changes)
    (tmp_path / "data").rename(away)
    paused[:] = [0, 0, 0]
    with pytest.raises(
        InputError, match=r"data\.source: '.*data' cannot be read: FileNotFound.*gave up after 30 s"
    ):
        data.at(range(11), seed=0)
    assert 30 <= sum(paused) < 60


def test_images_stand_as_a_viewer_shows_them(tmp_path: Path) -> None:
    """Turned by their note, transparent on white, of any mode and depth."""
    from PIL import Image

    folder = tmp_path / "data"
    write_images(folder, {})
    half = np.zeros((8, 8, 4), np.uint8)
    half[..., 0], half[:, :4, 3] = 200, 255
    Image.fromarray(half).save(folder / "alpha.png")
    Image.fromarray(half).quantize(4).save(folder / "palette.png")
    turned = np.full((8, 8, 3), 255, np.uint8)
    turned[:4] = 0
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is at the right
    Image.fromarray(turned).save(folder / "turned.png", exif=exif)
    Image.fromarray(np.full((8, 8), 0x80FF, np.uint16)).save(folder / "deep.png")
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(folder / "ink.jpg", quality=95)
    Image.new("1", (8, 8), 1).save(folder / "white.png")
    for image in list(folder.iterdir()):
        image.with_suffix(".txt").write_text(image.stem)
    data = opened(folder, tmp_path / "cache", held_out_share=0.01)
    images, captions = data.train(range(data.train_images))
    held = data.held_out([0])
    found = dict(zip(captions + held[1], torch.cat([images, held[0]]), strict=True))
    pixels = {name: ((image + 1) * 127.5).round().permute(1, 2, 0).int() for name, image in found.items()}
    for name in ("alpha", "palette"):
        assert pixels[name][0, 0].tolist() == [200, 0, 0] and pixels[name][0, 7].tolist() == [255] * 3
    assert pixels["turned"][0, 0].tolist() == [255] * 3 and pixels["turned"][7, 7].tolist() == [0] * 3
    assert pixels["deep"][3, 3].tolist() == [128] * 3
    assert np.abs(np.array(pixels["ink"][3, 3].tolist()) - [0, 255, 255]).max() <= 3
    assert pixels["white"][3, 3].tolist() == [255] * 3


def test_a_list_is_made_once_and_anew_for_what_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards(tmp_path / "data", IMAGES)
    for _ in range(2):
        opened(tmp_path / "data", tmp_path / "cache")
    assert capsys.readouterr().err.count("listing the images of") == 1
    shards(tmp_path / "data", captioned(15))
    assert opened(tmp_path / "data", tmp_path / "cache").train_images == 11
    assert capsys.readouterr().err.count("listing the images of") == 1
    assert len(list((tmp_path / "cache").glob("*/*"))) == 1  # the older one is gone


def test_parts_of_one_folder_are_lists_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trainings, each on some of the shards, would make them again and again."""
    shards(tmp_path / "data", captioned(12))
    for _ in range(2):
        for pattern in ("{00000..00001}", "{00002..00003}"):
            assert opened(tmp_path / "data" / f"{pattern}.tar", tmp_path / "cache").train_images == 4
    assert capsys.readouterr().err.count("listing the images of") == 2


def test_what_scores_a_search_sees_it_as_any_other_data(tmp_path: Path) -> None:
    shards(tmp_path / "data", SEVERAL)
    data = opened(tmp_path / "data", tmp_path / "cache")
    assert isinstance(data, Stream)
    assert data.one_caption_each([0, 3])[1] == [data.train_captions[0], data.train_captions[3]]
    assert data.train_captions[:2] == [data.train_captions[0], data.train_captions[1]]
    assert data.vocabulary == sorted(
        {"image", "caption", "0", *(text.split()[1] for text in data.train_captions)}
    )


def test_a_block_of_parquet_is_what_memory_holds(tmp_path: Path) -> None:
    """Beyond that, whole groups of rows would be read for each image."""
    FORMS["parquet"][1](tmp_path / "data", captioned(300))
    with pytest.raises(InputError, match=r"block_samples: 200 of \d+ bytes .*at most 1 with memory_mib: 0"):
        opened(tmp_path / "data", tmp_path / "cache", block_samples=200, memory_mib=0)
    data = opened(tmp_path / "data", tmp_path / "cache", memory_mib=0)
    numbers = [int(text.split()[1].strip(",")) for text in data.at(range(data.train_images), seed=0)[1]]
    assert sorted(numbers) == sorted(
        {*range(300)} - {int(t.split()[1].strip(",")) for t in data.held_out_captions}
    )
    runs = sum(abs(one - other) <= 1 for one, other in pairwise(numbers))
    assert runs > 60  # rows of a group after each other, where both are trained on
