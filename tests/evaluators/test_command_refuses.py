"""`mdsearch evaluate`: what it refuses, in one line with what would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluators.command import refusal, with_, write_lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["images=nowhere"], "images: 'nowhere' does not exist"),
        (["images=null"], "images: missing; what is to be scored?"),
        (["reference=null"], "reference: missing; give a folder"),
        (["reference=nothing.safetensors"], "nothing.safetensors: cannot be read as reference statistics"),
        (["evaluators.features=[]"], "evaluators.features: none; fid needs one network or more"),
        (["evaluators.clips=[]", "metrics=clip"], "evaluators.clips: none; clip needs one network or more"),
        (["metrics=null", "~evaluators.metrics"], "metrics: none; allowed: fid, fid_infinity, kid"),
        (["metrics=fit"], "metrics: 'fit' is not a metric; did you mean 'fid'?"),
        (["metrics=fid,clip"], "captions: missing; give captions=<file>"),
        (["captions=nowhere.txt", "metrics=clip"], "captions: 'nowhere.txt' cannot be read"),
        (["evaluators=any"], "evaluators: no preset 'any'; Valid:"),
        (["evaluators.samples=30000"], "images: 60 of them, where the protocol own scores 30,000"),
        (["evaluators.features=[{network:inception}]"], "did you mean 'inception-v3"),
        (["evaluators.images.size_px=8", "evaluators.images.resize=none"], "0.png has 16x16 px"),
        (["evaluators.images.resize=bilinea"], "did you mean 'bilinear'?"),
        (
            ["evaluators.images.drawn_size_px=512"],
            "0.png has 16x16 px where the protocol's samples have 512x512",
        ),
        (["workers=0"], "workers: 0 is not possible; allowed: 1 or more"),
        (["worker=2"], "did you mean 'workers'?"),
        (["compute.device=tpu"], "compute.device: 'tpu' is not a choice here"),
        (["out=/dev/null/x"], "out: /dev/null/x cannot be used"),
        (["compare=a,b"], "images: has no effect beside compare=, which reads scores; leave out one of them"),
        (["statistics=a.safetensors"], "images: has no effect beside statistics=, which measures reference="),
        (["statistics=a.safetensors", "images=null"], "metrics: has no effect beside statistics="),
        (["evaluator=runs/a/evaluator"], "evaluators.images.size_px: has no effect beside evaluator=, which"),
        (["but_for=drawing.steps"], "but_for: has no effect without compare="),
        (["statistics_features=true"], "statistics_features: has no effect without statistics="),
    ],
)
def test_bad_input_is_one_line(words: list[str], change: list[str], message: str) -> None:
    said = refusal(with_(words, *change))
    assert message in said and "\n" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images=samples", "evaluator=nowhere"], "nowhere: not a prepared evaluator"),
        (["evaluators=coco30k", "evaluator=nowhere"], "evaluators: has no effect beside evaluator=, which"),
        (["statistics=a.npz", "images=null"], "statistics: 'a.npz' has another ending than .safetensors"),
        (["statistics=a.safetensors"], "statistics: of which images?"),
        (["statistics=a.safetensors", "captions=a.txt"], "captions: has no effect beside statistics="),
        (["compare=one"], "compare: 'one'; two are compared, as compare=first,second"),
        (["compare=one,two", "images=null"], "one: cannot be read as scores"),
        (["compare=one,two", "~evaluators.metrics"], "evaluators.metrics: has no effect beside compare="),
    ],
)
def test_other_commands_refuse_in_one_line_too(words: list[str], message: str) -> None:
    said = refusal(words)
    assert message in said and "\n" not in said


def test_a_preset_of_searches_is_not_one_of_images(words: list[str]) -> None:
    own = [word for word in words if not word.startswith("evaluators.")]
    assert "score with what it trained by evaluator=runs/<name>/evaluator" in refusal(
        [*own, "evaluators=embedded"]
    )


@pytest.mark.parametrize("preset", ["coco30k", "bk_sdm"])
def test_published_protocols_hold_to_their_count(words: list[str], preset: str) -> None:
    own = [word for word in words if not word.startswith(("evaluators.", "metrics"))]
    assert f"where the protocol {preset} scores 30,000" in refusal([*own, f"evaluators={preset}"])


def test_missing_weights_are_one_message_with_a_way_out(words: list[str], sets: Path, tmp_path: Path) -> None:
    left = [word for word in words if "features" not in word and "metrics" not in word]
    said = refusal(
        [
            *left,
            f"captions={write_lines(tmp_path / 'captions.txt', ['an image'] * 60)}",
            f"weights.cache_folder={tmp_path / 'weights'}",
            "weights.download=false",
        ]
    )
    assert "inception-v3: put https://" in said and "vit-b-32: put " in said
    assert f"{tmp_path / 'weights'}" in said and "evaluator=runs/<name>/evaluator scores" in said
