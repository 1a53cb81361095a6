"""`mdsearch evaluate evaluators=hps_v2_0`: style by style, each version for itself."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.networks.hps import HpsClip, HpsSettings
from mdsearch.commands import evaluate
from space.shared.plain import InputError
from tests.evaluators.command import noise, refusal, sheet_of, with_, write_images
from tests.evaluators.images.test_benchmark import STYLES, write_benchmark

PROMPTS = 3
TOTAL = PROMPTS * len(STYLES)


@pytest.fixture
def hps_words(tmp_path: Path, hps_file: Path) -> list[str]:
    for number, style in enumerate(STYLES):
        write_images(tmp_path / "samples" / style, noise(PROMPTS, seed=number))
    return [
        f"images={tmp_path / 'samples'}",
        f"captions={write_benchmark(tmp_path / 'benchmark', PROMPTS)}",
        "evaluators=hps_v2_0",
        f"evaluators.samples={TOTAL}",
        f"weights.files.hps={hps_file}",
        f"out={tmp_path / 'out'}",
        "compute.device=cpu",
    ]


def as_jpeg(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=75)
    return np.asarray(Image.open(stream))


def test_scores_are_of_every_style_and_of_all(hps_words: list[str], hps_file: Path, tmp_path: Path) -> None:
    hps, every = HpsClip("v2.0", hps_file, HpsSettings()), dict[str, float]()
    for number, style in enumerate(STYLES):
        images = np.stack([as_jpeg(image) for image in noise(PROMPTS, seed=number)])
        values = hps.text_similarity(images, [f"{style} {n}" for n in range(PROMPTS)])
        every[f"hps_v2_0_{style.replace('-', '_')}"] = 100 * values.mean()
    sheet = sheet_of([*hps_words, "check=true"])
    found = {name: score.value for name, score in sheet.scores.items()}
    assert found == pytest.approx(every | {"hps_v2_0": np.mean(list(every.values()))}, abs=1e-4)
    whole = sheet.scores["hps_v2_0"]
    assert whole.samples == TOTAL and sheet.scores["hps_v2_0_photo"].samples == PROMPTS
    assert whole.interval is not None and not whole.lower_is_better
    assert [opinion["agrees"] for opinion in sheet.about["second_opinions"]] == [True]

    flat = tmp_path / "flat"  # as `mdsearch generate samples captions=benchmark` leaves them
    flat.mkdir()
    for number, style in enumerate(STYLES):
        for index in range(PROMPTS):
            source = tmp_path / "samples" / style / f"{index}.png"
            shutil.copy(source, flat / f"{number * PROMPTS + index:06d}.png")
    again = sheet_of(with_(hps_words, f"images={flat}", f"out={tmp_path / 'flat-out'}"))
    assert {name: score.value for name, score in again.scores.items()} == pytest.approx(found, abs=1e-6)
    assert {score.protocol.id for score in again.scores.values()} == {whole.protocol.id}


def test_versions_do_not_compare(hps_words: list[str], hps_file: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "one", tmp_path / "other"]
    sheet_of(with_(hps_words, f"out={outs[0]}"))
    (tmp_path / "hps-v2.1.pt").symlink_to(hps_file)
    newer = with_(hps_words, f"out={outs[1]}", "evaluators=hps_v2_1")
    assert "named for HPS v2.0, not for v2.1" in refusal(newer)
    sheet = sheet_of(with_(newer, f"weights.files.hps={tmp_path / 'hps-v2.1.pt'}"))
    assert "hps_v2_1_concept_art" in sheet.scores
    with pytest.raises(InputError, match=r"hps_v2_0 and hps_v2_1 are of two versions of HPS"):
        evaluate.main([f"compare={outs[0]},{outs[1]}"])


def test_what_the_benchmark_lacks_is_named(hps_words: list[str], tmp_path: Path) -> None:
    fewer = with_(hps_words, f"evaluators.samples={TOTAL - 1}")
    assert f"images: {TOTAL} of them, where the protocol hps_v2_0 scores {TOTAL - 1}" in refusal(fewer)
    assert "evaluators.clips: none; clip needs one network or more" in refusal([*hps_words, "metrics=clip"])
    of_none = with_(hps_words, "evaluators=own")
    assert "evaluators.clips: none; hps needs one network or more: {network: hps" in refusal(
        [*of_none, "metrics=hps"]
    )
    (tmp_path / "samples" / "photo" / "1.png").unlink()
    for words in (hps_words, fewer):
        assert f"1 of the benchmark's {TOTAL} prompts lack their image: photo/00001" in refusal(words)
