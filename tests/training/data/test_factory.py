"""Data sets by name: read from plain settings, and their presets."""

from __future__ import annotations

import pytest

from conf.compose import compose
from space.shared.plain import InputError, from_plain, to_plain
from training.data.digits import DigitsSettings
from training.data.emoji import EmojiSettings
from training.data.encoded import EncodedSettings
from training.data.factory import DATA_SETS, DataSettings
from training.data.folder import FolderSettings
from training.data.scenes import ScenesSettings
from training.data.stream import StreamSettings

PRESETS = {
    "scenes": (["data=scenes"], ScenesSettings()),
    "digits": (["data=digits"], DigitsSettings()),
    "emoji": (["data=emoji"], EmojiSettings()),
    "folder": (["data=folder", "data.folder=images"], FolderSettings(folder="images")),
    "encoded": (["data=encoded", "data.folder=latents"], EncodedSettings(folder="latents")),
    "stream": (["data=stream", "data.source=images"], StreamSettings(source="images")),
}


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_a_preset_holds_the_defaults_of_its_settings(name: str) -> None:
    words, settings = PRESETS[name]
    plain = compose("train", words)["data"]
    assert from_plain(DataSettings, plain) == settings
    assert from_plain(DataSettings, to_plain(settings)) == settings
    assert set(plain) == set(to_plain(settings, all_fields=True))  # else a field could not be set


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"name": "scene"}, r"data\.name: 'scene' is not a choice here; did you mean 'scenes'"),
        ({"image_size_px": 16}, r"data\.name: missing"),
        ({"name": "digits", "scenes": 8}, r"data\.scenes: no such field"),
        ({"name": "folder"}, r"data\.folder: missing"),
        ({"name": "folder", "folder": ""}, r"data\.folder: missing"),
        ({"name": "scenes", "scenes": 7}, r"data\.scenes: 7 is not possible; allowed: 8 or more"),
        ({"name": "digits", "image_size_px": 7}, r"data\.image_size_px: 7 is not possible"),
        ({"name": "digits", "held_out_share": 1.0}, r"data\.held_out_share: 1\.0"),
        ({"name": "digits", "seed": -1}, r"data\.seed: -1"),
        ({"name": "stream"}, r"data\.source: missing"),
        ({"name": "stream", "source": ""}, r"data\.source: missing"),
        (
            {"name": "stream", "source": "a", "format": "cocoa"},
            r"data\.format: 'cocoa' .*did you mean 'coco'",
        ),
        ({"name": "stream", "source": "a", "block_samples": 0}, r"data\.block_samples: 0"),
        ({"name": "stream", "source": "a", "memory_mib": -1}, r"data\.memory_mib: -1"),
    ],
)
def test_what_cannot_be_is_said_with_its_field(plain: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_plain(DataSettings, plain, "data")


def test_a_data_set_is_titled_by_its_folder_where_it_has_one() -> None:
    assert ScenesSettings().title == "scenes" and FolderSettings(folder="photos/cats/").title == "cats"
