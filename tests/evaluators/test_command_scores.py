"""`mdsearch evaluate`: what its scores are of, and what stands beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.features import RandomConv, RandomConvSettings
from evaluators.protocols.protocol import captions_digest
from evaluators.scorers.embedded import Evaluator
from space.shared.plain import InputError
from tests.evaluators.command import SIZE, noise, refusal, sheet_of, with_, write_images, write_lines


def test_a_score_is_that_of_the_images_and_carries_its_protocol(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = sheet_of(words)
    network = RandomConv(RandomConvSettings())
    expected = frechet_distance(*(Moments.of(network(noise(n, seed))) for n, seed in ((60, 1), (80, 3))))
    score = sheet.scores["fid_random_conv"]
    assert score.value == pytest.approx(expected, rel=1e-6)
    assert score.interval is not None and score.interval.low < score.value < score.interval.high
    protocol = score.protocol
    assert (protocol.samples, protocol.reference and protocol.reference.images) == (60, 80)
    assert protocol.features[0].digest == network.digest
    printed = capsys.readouterr().out
    assert f"protocol own ({protocol.id})" in printed and "a second on" in printed
    assert sheet.about["pace"]["images"] == 60 and sheet.about["pace"]["images_per_second"] > 0


def test_the_form_of_the_source_leaves_no_trace(words: list[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", noise(60, seed=1))
    folder = sheet_of(words).scores["fid_random_conv"]
    packed = with_(
        words, f"images={tmp_path / 'samples.npz'}", f"out={tmp_path / 'packed'}", "part_images=64"
    )
    npz = sheet_of(packed).scores["fid_random_conv"]
    assert npz.value == pytest.approx(folder.value, rel=1e-6)
    assert npz.protocol.id == folder.protocol.id


def test_what_is_passed_over_stands_beside_the_scores(words: list[str], tmp_path: Path) -> None:
    for name, odd in (("samples", "a.heic"), ("real", "notes.md")):
        (write_images(tmp_path / name, noise(20, seed=len(name))) / odd).touch()
    sheet = sheet_of(with_(words, f"images={tmp_path / 'samples'}", f"reference={tmp_path / 'real'}"))
    notes = sheet.scores["fid_random_conv"].notes
    assert "passed over: 1 .heic (a.heic)" in notes
    assert "reference, passed over: 1 .md (notes.md)" in notes
    assert sheet.about["images"]["passed_over"] == "passed over: 1 .heic (a.heic)"


def test_a_search_lends_its_evaluator(
    prepared: tuple[Evaluator, Path], held_out: object, tmp_path: Path
) -> None:
    evaluator, folder = prepared
    images, captions = held_out.images[:64], held_out.captions[:64]  # type: ignore[attr-defined]
    write_images(tmp_path / "samples", images)
    (tmp_path / "captions.txt").write_text("\n".join(captions))
    sheet = sheet_of(
        [
            f"images={tmp_path / 'samples'}",
            f"captions={tmp_path / 'captions.txt'}",
            f"evaluator={folder}",
            f"out={tmp_path / 'out'}",
        ]
    )
    expected = evaluator.score(images, captions)
    assert {name: score.value for name, score in sheet.scores.items()} == pytest.approx(expected, rel=1e-5)
    around = tmp_path / "trained"  # as a training with scores=true has it
    around.mkdir()
    (around / "evaluator-24px").symlink_to(folder)
    shuffled = sheet_of(
        [
            f"images={tmp_path / 'samples'}",
            f"captions={write_lines(tmp_path / 'others.txt', captions[::-1])}",
            f"evaluator={around}",
            f"out={tmp_path / 'shuffled'}",
            "metrics=clip",
        ]
    )
    assert list(shuffled.scores) == ["clip_embedded"]
    for lines, said in ((captions, False), (captions[::-1], True)):  # with a manifest that knows its prompts
        manifest = {"settings": {"count": 64}, "captions": captions_digest(captions)}
        (tmp_path / "samples" / "manifest.json").write_text(json.dumps(manifest))
        words = [
            f"images={tmp_path / 'samples'}",
            f"captions={write_lines(tmp_path / 'lines.txt', lines)}",
            f"evaluator={folder}",
            f"out={tmp_path / f'said-{said}'}",
            "metrics=clip",
        ]
        notes = sheet_of(words).scores["clip_embedded"].notes
        assert ("the captions are not those that the samples were generated for" in notes) is said
    assert shuffled.scores["clip_embedded"].value < sheet.scores["clip_embedded"].value - 0.1
    (around / "evaluator-32px").symlink_to(folder)
    with pytest.raises(InputError, match=r"holds evaluator-24px, evaluator-32px; name one of them"):
        sheet_of([f"images={tmp_path / 'samples'}", f"evaluator={around}"])


def test_what_drew_the_samples_stands_in_the_protocol(words: list[str], sets: Path, tmp_path: Path) -> None:
    samples = write_images(tmp_path / "generated", noise(60, seed=1))
    settings = {
        "count": 60,
        "sampler": "ddim",
        "steps": 25,
        "guidance": 3.0,
        "seed": 7,
        "image_size_px": SIZE,
    }
    (samples / "manifest.json").write_text(json.dumps({"model": "x", "settings": settings}))
    generated = with_(words, f"images={samples}", f"out={tmp_path / 'a'}")
    drawing = sheet_of(generated).scores["fid_random_conv"].protocol.drawing
    assert (drawing.sampler, drawing.steps, drawing.guidance, drawing.seed) == ("ddim", 25, 3.0, 7)
    preset = ["evaluators=coco30k", "evaluators.samples=60", "evaluators.reference.images=80"]
    preset += ["evaluators.images.drawn_size_px=null", "evaluators.features=[{network:random-conv}]"]
    named = [word for word in generated if not word.startswith(("evaluators.features", "out="))]
    said = sheet_of([*named, *preset, f"out={tmp_path / 'b'}"]).scores["fid_random_conv"]
    assert said.protocol.drawing.steps == 25 and said.protocol.clips == ()
    assert "generated otherwise than coco30k says: steps 25 for 50" in said.notes
    (samples / "manifest.json").rename(tmp_path / "manifest.json")
    said = sheet_of([*named, *preset, f"out={tmp_path / 'c'}"]).scores["fid_random_conv"]
    assert "how the samples were generated is not said, as coco30k wants it" in said.notes
    (tmp_path / "manifest.json").rename(samples / "manifest.json")
    (samples / "manifest.json").write_text('{"name": "of a browser"}')
    assert "if it is one of something else, take it away" in refusal(generated)
    (samples / "manifest.json").write_text(json.dumps({"settings": settings | {"steps": "25"}}))
    assert "manifest.json.steps: expected" in refusal(generated)
    (samples / "59.png").unlink()
    assert "59 in " in refusal(generated) and "there will be 60" in refusal(generated)


def test_unreadable_images_stop_it_unless_they_may_be_left_out(words: list[str], tmp_path: Path) -> None:
    samples = write_images(tmp_path / "some", noise(20, seed=1))
    (samples / "3.png").write_bytes(b"")
    some = with_(words, f"images={samples}")
    assert "images: 1 of 20 images cannot be read: 3.png" in refusal(some)
    sheet = sheet_of([*some, "max_unreadable=1"])
    score = sheet.scores["fid_random_conv"]
    assert score.samples == score.protocol.samples == 19
    assert (
        "1 images could not be read" in " ".join(score.notes)
        and "3.png" in sheet.about["images"]["unreadable"]
    )
