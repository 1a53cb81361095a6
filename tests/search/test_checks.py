"""What is refused before a search begins, and before images are made that would not be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conf.compose import compose
from evaluators.scorers.embedded import EvaluatorSettings
from search import checks
from search.checks import check
from search.scoring.embedded import training_seconds
from search.scoring.evaluator import pixels_note
from search.settings import SearchSettings, settings_from_plain
from space.shared.plain import InputError
from training.data.dataset import SplitImages
from training.data.emoji import Design, EmojiImages, EmojiSettings


def settings(*words: str) -> SearchSettings:
    found: SearchSettings = settings_from_plain(compose("search", list(words)))
    return found


@pytest.fixture
def unmade(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: EmojiSettings) -> Any:
        raise AssertionError("designs are rendered")

    monkeypatch.setattr(EmojiSettings, "load", load)


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (
            ["experiment=emoji", "data.image_size_px=64"],
            "data.image_size_px=32, or proxy.latent_size=32",
        ),
        (
            ["data=emoji"],
            "data.image_size_px=24, or proxy.latent_size=16; experiment=emoji has all that fits data=emoji",
        ),
    ],
)
def test_images_of_a_size_that_does_not_fit_are_never_made(
    unmade: None, words: list[str], needed: str
) -> None:
    with pytest.raises(InputError, match=r"^data\.image_size_px: ") as error:
        check(settings(*words))
    assert str(error.value).endswith(f"needed: {needed}")


def test_too_few_designs_that_can_be_held_out_are_no_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of the nine share their words; all others have one of their own."""
    captions = [*(f"thing {number}" for number in range(6)), "red apple", "green apple", "red green"]
    designs = [Design(caption, caption, None) for caption in captions]
    pixels = np.stack([np.full((32, 32, 3), 25 * number, np.uint8) for number in range(9)])

    def load(own: EmojiSettings) -> SplitImages:
        return SplitImages(own, EmojiImages(designs, pixels))

    monkeypatch.setattr(checks, "load_data", load)
    with pytest.raises(InputError, match=r"^data: .* held out; needed: 10 or more, .*of more groups"):
        check(settings("experiment=emoji"))


def test_a_clip_that_sees_features_takes_as_long_for_images_of_any_size() -> None:
    evaluators = settings("experiment=emoji").evaluators
    assert isinstance(evaluators, EvaluatorSettings)
    assert training_seconds(evaluators.clip, 64, 400) == training_seconds(evaluators.clip, 32, 400) == 6.0


def test_a_clip_that_sees_pixels_alone_is_said_where_there_is_a_better_one() -> None:
    (note,) = pixels_note(settings("data=emoji", "data.image_size_px=24"))
    assert note.startswith("note: ") and "experiment=emoji" in note
    assert pixels_note(settings("experiment=emoji")) == pixels_note(settings()) == []
