"""Captions that a text encoder takes for the same: refused where the text is lost, else said."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from training.data.base import InMemory
from training.data.dataset import Dataset, SplitImages
from training.data.scenes import ScenesSettings
from training.settings import TrainingSettings
from training.text import SmallTextEncoder, TextSettings, make_text_encoder
from training.told_apart import check_told_apart, unread_text
from training.trainer import Trainer


@pytest.fixture
def small() -> SmallTextEncoder:
    torch.manual_seed(0)
    return SmallTextEncoder(["blue", "circle", "red", "square"], 4, 16, layers=0, heads=2)


def captioned(captions: list[str]) -> Dataset:
    pixels = np.zeros((len(captions), 16, 16, 3), np.uint8)
    return SplitImages(ScenesSettings(image_size_px=16, held_out_share=0.25), InMemory(pixels, captions))


def test_a_tokenizer_that_loses_the_captions_ends_training_before_it_begins(
    tiny: Architecture, settings: TrainingSettings, clip_folder: Path
) -> None:
    """Digits are not among this tokenizer's letters: each is the end of text."""
    clip = replace(settings, text=TextSettings(encoder="clip", folder=str(clip_folder)))
    architecture = replace(tiny, context_length=10)
    lost = captioned([f"no {10 ** (number % 2) * number}" for number in range(8)])  # of one digit and two
    with pytest.raises(InputError, match=r"6 of 6 .* tokens .* 'no 0' and 'no 10'"):
        Trainer(architecture, lost, clip, seed=0)
    Trainer(architecture, captioned([f"no {letter}" for letter in "abcdefgh"]), clip, seed=0)


def test_a_few_captions_that_are_lost_are_too_many_above_a_twentieth(clip_folder: Path) -> None:
    encoder = make_text_encoder(TextSettings(encoder="clip", folder=str(clip_folder)), [], 10, 16)
    letters = [f"a {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    check_told_apart(encoder, [*letters, "b 1"])
    with pytest.raises(InputError, match="2 of 28 different captions"):
        check_told_apart(encoder, [*letters, "b 1", "b 2"])


@pytest.mark.parametrize(("weights", "made"), [(0.0, "the same features"), (math.nan, "are no numbers")])
def test_a_text_model_that_says_nothing_is_refused(clip_folder: Path, weights: float, made: str) -> None:
    """Its tokens differ, and nothing of that is left behind its last norm."""
    encoder = make_text_encoder(TextSettings(encoder="clip", folder=str(clip_folder)), [], 10, 16)
    check_told_apart(encoder, ["a red circle", "a blue square"])
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(weights)
    with pytest.raises(InputError, match=f"text.folder: .*{made}"):
        check_told_apart(encoder, ["a red circle", "a blue square"])


def test_captions_that_are_cut_are_refused_where_nothing_is_left_of_them(small: SmallTextEncoder) -> None:
    long = ["red red red circle", "red red red square"]
    with pytest.raises(InputError, match="context_length above 4"):
        check_told_apart(small, long)
    check_told_apart(small, [*long, "blue"])
    (line,) = unread_text(small, [*long, "blue"])
    assert re.match("warning: captions: 2 of 3 .* 4 tokens .*text encoder .* cut$", line)


def test_case_punctuation_and_one_caption_for_all_are_no_loss(small: SmallTextEncoder) -> None:
    check_told_apart(small, ["Red circle.", "red circle", "red, circle", "", "blue"])
    check_told_apart(small, ["red circle"] * 5)


def test_unknown_words_are_named(small: SmallTextEncoder) -> None:
    (line,) = unread_text(small, ["a red zebra", "red"], "held-out captions")
    assert line.startswith("warning: held-out captions: 2 words") and line.endswith("a, zebra")
    assert unread_text(small, ["red square", ""]) == []
