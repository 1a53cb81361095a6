"""One latency budget for a UNet's search and a decoder's: which pairs fit, and which are on the front."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.split import ImageSplit, split_of_two, split_sentence
from mdsearch.commands.split import main
from search.runs.record import History
from space.candidates import Candidate
from space.image_time import ImageTime
from space.shared.plain import InputError
from tests.search.timed_runs import UNET, events, history, of_decoders, of_unets, write_run


def split_within(within: ImageTime) -> ImageSplit:
    return split_of_two(history(of_unets()), history(of_decoders()), within)


def names(split: ImageSplit) -> set[tuple[str, str]]:
    return {(pair.unet.name, pair.decoder.name) for pair in split.pairs}


def test_pairs_that_fit_and_are_beaten_by_none() -> None:
    found = split_within(ImageTime(400, steps=8, text_ms=10))
    # 8 x 50 + 40 + 10 is over; 8 x 30 + 100 + 10 = 350; trial 3 loses to trial 1 in FID and CLIP
    assert names(found) == {("trial 1", "trial 0")} and found.notes == []
    (only,) = found.pairs
    assert (only.unet.ms, only.decoder.ms, only.left_ms) == (30, 100, 50)
    assert only.point.values == (24.0, 0.28, 30.0)
    assert split_sentence(found) == (
        "UNet trial 1 and decoder trial 0: text encoder 10.0 + UNet 8 x 30.0 + decoder 100.0 = 350.0 ms, "
        "of which the decoder has 29%; 50.0 of 400 ms left"
    )
    wider = split_within(ImageTime(450, steps=8, text_ms=10))
    assert names(wider) == {("trial 0", "trial 1"), ("trial 1", "trial 0")}
    assert names(split_within(ImageTime(450, steps=4, calls_per_step=2, text_ms=10))) == names(wider)


def test_the_least_that_is_allowed_is() -> None:
    """120 by 8 steps; a third of a millisecond more is not rounded off."""
    with pytest.raises(InputError, match=r"total_ms: 100 is too few: .*; allowed: 120 or more"):
        split_within(ImageTime(100, steps=8))
    with pytest.raises(InputError, match=r"; allowed: 120\.4 or more"):
        split_within(ImageTime(100, steps=8, text_ms=1 / 3))
    assert names(split_within(ImageTime(120.4, steps=8, text_ms=1 / 3))) == {("trial 3", "trial 1")}


def test_searches_that_make_no_images_together() -> None:
    def of(unet: Candidate, words: str = "onnx in fp32 on made, 1 thread, 2026-01-02") -> History:
        lists = [{"file": "a.json", "list": words, "digest": "d"}]
        scores = {"fid": 1.0, "clip": 0.1, "latency_ms": 1.0}
        plain = {"fid": "fid", "clip": "clip"}
        return history(events({0: scores}, unet, price_lists=lists, objectives=plain))

    with pytest.raises(InputError, match="latents of 16x16, the decoders read 8x8"):
        split_of_two(of(replace(UNET, latent_size=16)), history(of_decoders()), ImageTime(200))
    within, decoders = ImageTime(200), history(of_decoders())
    (channels,) = split_of_two(of(replace(UNET, latent_channels=4)), decoders, within).notes
    assert channels == "the UNets make 4 channels, the decoders read 2"
    (device,) = split_of_two(of(UNET, "onnx in fp32 on another, 2026-01-02"), decoders, within).notes
    assert (
        "the UNets' are of onnx in fp32 on another, the decoders' of onnx in fp32 on made, 1 thread" in device
    )


def test_what_cannot_be_split_is_refused(tmp_path: Path) -> None:
    within = ImageTime(400, steps=8)
    with pytest.raises(InputError, match="the UNets' search: is of decoders"):
        split_of_two(history(of_decoders()), history(of_unets()), within)
    bare = [event for event in of_unets() if event["event"] != "rung"]
    with pytest.raises(InputError, match="no complete trial has a latency_ms; needed: a search with"):
        split_of_two(history(bare), history(of_decoders()), within)
    with pytest.raises(InputError, match="runs: 3 named; needed: two"):
        main(["a", "b", "c", "total_ms=400"])
    with pytest.raises(InputError, match="total_ms: missing; needed beside two runs"):
        main(["a", "b"])
    with pytest.raises(InputError, match="total_ms: has no effect beside one run"):
        main([str(tmp_path), "total_ms=400"])
    with pytest.raises(InputError, match="steps: 0 is too few"):
        main(["a", "b", "total_ms=400", "steps=0"])


def test_the_command_prints_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "unet", of_unets())
    write_run(tmp_path / "decoder", of_decoders())
    words = [str(tmp_path / "unet"), str(tmp_path / "decoder"), "total_ms=450", "text_ms=10"]
    assert main([*words, "format=json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["unet"], row["decoder"], row["psnr"]) for row in rows] in (
        [("trial 0", "trial 1", 27.0), ("trial 1", "trial 0", 30.0)],
        [("trial 1", "trial 0", 30.0), ("trial 0", "trial 1", 27.0)],
    )
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "trial 1, 8 x 30.0 ms" in said and "decoders by onnx in fp32 on made" in said
