"""What captioned images there are, told before anything trains on them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mdsearch.commands.data import main
from space.shared.plain import InputError
from tests.training.data.forms import captioned, image_bytes, json_lines, shards, tar
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.data.sources.index import open_index
from training.data.sources.survey import survey_images
from training.data.stream import StreamSettings


def told(capsys: pytest.CaptureFixture[str], *words: str, cache: Path, status: int = 0) -> Any:
    capsys.readouterr()
    assert main([*words, f"data.cache_folder={cache}", "format=json"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images, of which one is broken, one missing and two copies; captions empty, long and the same."""
    folder = tmp_path / "photos"
    images = captioned(10)
    images["0001.png"] = images["0000.png"]
    images["0002.png"] = ["word " * 76]
    images["0003.png"] = ["cat " * 75]  # and the two ends: as many as are read
    images["0004.png"] = [" "]
    images["0007.png"] = images["0000.png"]
    json_lines(folder, images)
    (folder / "0005.png").write_bytes(b"no image")
    (folder / "0006.png").unlink()
    (folder / "0008.png").write_bytes(image_bytes(9))
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(buffer, "JPEG")
    (folder / "0000.png").write_bytes(buffer.getvalue())
    return folder


def test_counts_sizes_and_what_is_wrong_are_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    words = [str(photos), f"sheet={sheet}", "data.max_unreadable_share=0.5"]
    found = told(capsys, *words, cache=tmp_path / "cache")
    assert (found["format"], found["images"], found["refused"]) == ("captions", 8, None)
    assert found["left_out"] == {"with an empty caption": 1, "named and not there": 1}
    assert found["first_left_out"]["named and not there"] == ["0006.png"]
    captions = found["captions"]
    assert (captions["count"], captions["too_long"], captions["duplicated"]) == (8, 1, 2)
    assert captions["most_frequent"] == {"image 0, grey": 3}
    checked = found["checked"]
    assert (checked["images"], list(checked["broken"]), checked["duplicated"]) == (8, ["0005.png"], 1)
    sizes = checked["width_and_height"]
    assert (sizes["smallest"], sizes["median"], sizes["largest"]) == ([8, 8], [8, 8], [30, 20])
    assert checked["smaller_than_image_size_px"] == 7
    with Image.open(sheet) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(255, 255, 255), (90, 90, 90)} <= colours  # paper, and one of the images


def test_the_same_is_told_in_lines(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(photos), f"data.cache_folder={tmp_path / 'cache'}"]) == 1
    out = capsys.readouterr().out
    assert (
        "8 images in 1 parts, read as captions, of captions.jsonl" in out
        and "broken: 1 (0005.png: cannot identify" in out
    )
    assert "captions of more than 77 tokens: 1, such as 'word word" in out
    assert "training would refuse it: data.source: 1 named and not there (0006.png)" in out


def test_transparent_images_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_lines(tmp_path, captioned(8))
    for name, clear in (("0002.png", 0), ("0005.png", 255)):  # one says so, and nothing is
        Image.new("RGBA", (9, 9), (255, 0, 0, clear)).save(tmp_path / name)
    palette = Image.new("P", (9, 9))
    palette.save(tmp_path / "0006.png", transparency=0)
    words = [str(tmp_path), "data.max_unreadable_share=0.5"]
    assert told(capsys, *words, cache=tmp_path / "cache")["checked"]["transparent"] == 3
    main([*words, f"data.cache_folder={tmp_path / 'cache'}"])
    assert "transparent in part: 3 (0002.png; 0005.png; 0006.png); put on white" in capsys.readouterr().out
    json_lines(tmp_path / "opaque", captioned(8))
    main([str(tmp_path / "opaque"), f"data.cache_folder={tmp_path / 'cache'}"])
    assert "transparent in part" not in capsys.readouterr().out


def test_a_torn_shard_is_told_and_would_be_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards(tmp_path / "data", captioned(9))
    torn = tmp_path / "data" / "00001.tar"
    torn.write_bytes(torn.read_bytes()[:4200])
    found = told(capsys, str(tmp_path / "data" / "{00000..00002}.tar"), cache=tmp_path / "c", status=1)
    assert found["left_out"] == {"torn shards": 1} and found["images"] == 7
    assert found["first_left_out"]["torn shards"][0].startswith("00001.tar after 1 samples")
    assert "1 torn shards (00001.tar" in found["refused"] and "at most 5% of 3" in found["refused"]


def test_what_training_would_refuse_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One image, too many that are broken, or broken ones alone among those to hold out."""
    cache = tmp_path / "cache"
    json_lines(tmp_path / "one", captioned(1))
    assert "1 image with a caption" in told(capsys, str(tmp_path / "one"), cache=cache, status=1)["refused"]
    json_lines(tmp_path / "many", captioned(12))
    for number in range(6):
        (tmp_path / "many" / f"{number:04}.png").write_bytes(b"no image")
    refused = told(capsys, str(tmp_path / "many"), cache=cache, status=1)["refused"]
    assert "6 images cannot be read" in refused and "at most 5% of 100" in refused
    words = [str(tmp_path / "many"), "data.max_unreadable_share=0.5"]
    refused = told(capsys, *words, "data.seed=0", cache=cache, status=1)["refused"]
    assert "none of 1 images to hold out can be read" in refused
    assert told(capsys, *words, "data.seed=1", cache=cache)["refused"] is None


def test_an_image_that_no_caption_names_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_lines(tmp_path / "data", captioned(4))
    (tmp_path / "data" / "more.png").write_bytes(image_bytes(9))
    found = told(capsys, str(tmp_path / "data"), cache=tmp_path / "cache")
    assert found["first_left_out"] == {"without a caption": ["more.png"]}


def test_a_sheet_frames_small_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A white image is one, too; and a photograph is not kept whole until the end."""
    json_lines(tmp_path / "data", {"0.png": ["white"], "1.png": ["also"]})
    for name in ("0.png", "1.png"):
        Image.new("RGB", (640, 320), "white").save(tmp_path / "data" / name)
    sheet = tmp_path / "new" / "sheet.png"
    told(capsys, str(tmp_path / "data"), f"sheet={sheet}", cache=tmp_path / "cache")
    with Image.open(sheet) as image:
        frame = image.convert("RGB").crop((7, 7, 169, 89))
    assert {frame.getpixel(at) for at in ((0, 0), (161, 0), (0, 81), (161, 81))} == {(192, 192, 192)}
    form = StreamSettings(source=str(tmp_path / "data")).form()
    survey = survey_images(form, open_index(form, tmp_path / "cache"), None, 2)
    assert [pixels.shape for pixels, _ in survey.shown] == [(80, 160, 3)] * 2
    assert survey.sizes.tolist() == [[640, 320]] * 2


def test_images_are_looked_at_evenly_where_they_are_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tar(
        tmp_path / "a.tar",
        [(f"{n:03}{end}", image_bytes(n % 20)) for n in range(60) for end in (".png", ".jpg.txt")],
    )
    members = [(f"{n:03}.png", image_bytes(n % 20)) for n in range(60)]
    tar(
        tmp_path / "a.tar",
        [each for name, image in members for each in ((name, image), (name[:3] + ".txt", b"a"))],
    )
    found = told(capsys, str(tmp_path / "a.tar"), "check_images=6", cache=tmp_path / "cache")
    assert found["images"] == 60 and found["checked"]["images"] == 6


def test_files_changed_behind_their_captions_are_listed_anew_when_asked(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(photos), "data.max_unreadable_share=0.5"]
    first = told(capsys, *words, cache=tmp_path / "cache")
    (photos / "0008.png").write_bytes(image_bytes(8) + b"more")
    with pytest.raises(InputError, match=r"0008\.png has \d+ bytes, and had \d+ .*relist=true"):
        told(capsys, *words, cache=tmp_path / "cache")
    assert told(capsys, *words, "relist=true", cache=tmp_path / "cache")["digest"] != first["digest"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"data\.source"),
        (["a", "b"], r"data\.source: a, b are 2"),
        (["nowhere/at/all"], r"data\.source: 'nowhere/at/all' is neither a folder nor a file"),
        (["s4://bucket/a"], r"unknown protocol, 's4'; did you mean 's3'"),
        (["photos", "sheet=sheet.xyz"], r"sheet: 'sheet\.xyz' is no image; allowed"),
        (["photos", "data.format=webdatset"], r"data\.format: 'webdatset' .*did you mean 'webdataset'"),
        (["photos", "format=coco"], r"needed: data\.format=coco"),
        (["photos", "check_images=0"], r"check_images: 0"),
        (["photos", "text_tokens=2"], r"text_tokens: 2"),
        (["data=scenes", "check_images=5"], r"^check_images: has no effect on data=scenes.*leave it out"),
        (["data=scenes", "sheet=a.doc"], r"^sheet: 'a.doc' is no image"),
        (["data=encoded", "data.folder=x"], r"^data: 'encoded' is nothing to look at.*allowed: stream"),
    ],
)
def test_what_cannot_be_is_said_with_its_field(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(words)


def test_data_that_are_held_in_memory_are_told_as_training_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    words = ["data=scenes", "data.scenes=40", "data.held_out_share=0.25"]
    assert main([*words, f"sheet={sheet}", "format=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    data = load_data(ScenesSettings(scenes=40, held_out_share=0.25))
    assert (found["train_images"], found["held_out"]) == (30, 10) and found["digest"] == data.digest
    assert found["captions"]["count"] == 40 and found["captions"]["most_frequent"]["a"] == 40
    with Image.open(sheet) as picture:
        assert picture.width > 8 * 24
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("scenes: 30 images of 24 px to train on, 10 held out (digest ")
