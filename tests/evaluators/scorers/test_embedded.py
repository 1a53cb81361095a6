"""An evaluator as a search uses it: prepared once, loaded by workers, scores beside their protocol."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import yaml

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.embedded_model import EmbeddedSettings
from evaluators.scorers.embedded import PROTOCOL, Evaluator, EvaluatorSettings
from space.shared.plain import InputError, from_plain
from tests.evaluators.conftest import Squares, squares


@pytest.fixture(scope="module")
def generated() -> Squares:
    return squares(64, seed=3)


def test_scores_are_named_for_their_features(prepared: tuple[Evaluator, Path], generated: Squares) -> None:
    evaluator, _ = prepared
    scores = evaluator.score(generated.images, generated.captions)
    assert set(scores) == {"fid_embedded_clip", "fid_random_conv", "clip_embedded"}
    assert (evaluator.fid_name, evaluator.clip_name) == ("fid_embedded_clip", "clip_embedded")


def test_scores_are_the_parts_put_together(
    prepared: tuple[Evaluator, Path], generated: Squares, held_out: Squares
) -> None:
    evaluator, _ = prepared
    scores = evaluator.score(generated.images, generated.captions)
    for name, model in (("fid_embedded_clip", evaluator.clip), ("fid_random_conv", evaluator.random_conv)):
        expected = frechet_distance(Moments.of(model(generated.images)), Moments.of(model(held_out.images)))
        assert scores[name] == pytest.approx(expected, rel=1e-9)
    expected = evaluator.clip.text_similarity(generated.images, generated.captions).mean()
    assert scores["clip_embedded"] == pytest.approx(expected, abs=1e-9)


def test_a_worker_gets_the_same_scores_from_the_folder(
    prepared: tuple[Evaluator, Path], generated: Squares
) -> None:
    evaluator, folder = prepared
    loaded = Evaluator.load(folder)
    assert loaded.score(generated.images, generated.captions) == evaluator.score(
        generated.images, generated.captions
    )
    assert loaded.protocol == evaluator.protocol == yaml.safe_load((folder / PROTOCOL).read_text())
    assert loaded.protocol_id == evaluator.protocol_id


def test_wrong_captions_lower_clip_alone(prepared: tuple[Evaluator, Path], generated: Squares) -> None:
    evaluator, _ = prepared
    right = evaluator.score(generated.images, generated.captions)
    wrong = evaluator.score(generated.images, generated.captions[1:] + generated.captions[:1])
    assert wrong["clip_embedded"] < right["clip_embedded"] - 0.3
    assert wrong["fid_embedded_clip"] == right["fid_embedded_clip"]


def test_pixel_noise_is_seen_by_the_random_network(
    prepared: tuple[Evaluator, Path], generated: Squares
) -> None:
    evaluator, _ = prepared
    noise = np.random.default_rng(0).normal(0, 12, generated.images.shape)
    noisy = np.clip(generated.images + noise, 0, 255).astype(np.uint8)
    clean = evaluator.score(generated.images, generated.captions)["fid_random_conv"]
    assert evaluator.score(noisy, generated.captions)["fid_random_conv"] > 2 * clean


def test_resampling_tells_the_noise_of_the_clip_score(
    prepared: tuple[Evaluator, Path], generated: Squares
) -> None:
    """Of a mean, the bootstrap's deviation is that of the values over the square root of their number."""
    evaluator, _ = prepared
    captions = generated.captions[:32] + generated.captions[33:] + generated.captions[:1]
    noise = evaluator.resampled(generated.images, captions, repeats=60, seed=1)
    values = evaluator.clip.text_similarity(generated.images, captions)
    assert noise["clip_embedded"] == pytest.approx(values.std() / 8, rel=0.3)
    assert set(noise) == set(evaluator.score(generated.images, captions)) and min(noise.values()) > 0
    assert evaluator.resampled(generated.images, captions, repeats=60, seed=1) == noise
    both = evaluator.score(generated.images, captions), evaluator.resampled(generated.images, captions)
    assert evaluator.score_and_deviations(generated.images, captions) == both


def test_resamples_of_two_candidates_are_paired(prepared: tuple[Evaluator, Path], generated: Squares) -> None:
    """The same prompts in another jitter: their difference is quieter than either alone."""
    evaluator, _ = prepared
    one = evaluator.resamples(generated.images, generated.captions)
    two = evaluator.resamples(squares(64, seed=4).images, generated.captions)
    assert one["fid_random_conv"].shape == (20,)
    assert (one["fid_random_conv"] - two["fid_random_conv"]).std() < 0.5 * one["fid_random_conv"].std()
    with pytest.raises(ValueError, match="two repeats or more, got 1"):
        evaluator.resamples(generated.images, generated.captions, repeats=1)


def test_images_that_the_protocol_does_not_describe_are_refused(
    prepared: tuple[Evaluator, Path], generated: Squares
) -> None:
    evaluator, _ = prepared
    with pytest.raises(ValueError, match=r"scores \(64, 16, 16, 3\)"):
        evaluator.score(generated.images[:63], generated.captions[:63])
    with pytest.raises(ValueError, match=r"scores \(64, 16, 16, 3\)"):
        evaluator.score(generated.images.repeat(2, axis=1).repeat(2, axis=2), generated.captions)
    with pytest.raises(ValueError, match="64 images beside 63 captions"):
        evaluator.score(generated.images, generated.captions[:63])


def test_the_protocol_says_what_made_the_scores(
    prepared: tuple[Evaluator, Path], train: Squares, held_out: Squares, cache: Path, tmp_path: Path
) -> None:
    evaluator, _ = prepared
    protocol = evaluator.protocol
    assert protocol["images"] == 64 and protocol["image_size_px"] == 16 and protocol["resize"] == "none"
    assert protocol["features"]["embedded-clip"]["digest"] == evaluator.clip.digest
    assert protocol["features"]["random-conv"]["digest"] == evaluator.random_conv.digest
    assert protocol["reference"]["images"] == 128
    settings = EvaluatorSettings(images=64, fid="random-conv", clip=EmbeddedSettings(steps=80, batch_size=32))
    other = Evaluator.prepare(
        tmp_path,
        settings,
        train=train.batch,
        train_count=256,
        held_out_images=held_out.images,
        held_out_captions=held_out.captions,
        data_digest="squares",
        cache_folder=cache,
    )
    assert other.fid_name == "fid_random_conv" and other.clip.digest == evaluator.clip.digest
    assert other.protocol_id != evaluator.protocol_id


def test_an_incomplete_folder_is_refused(prepared: tuple[Evaluator, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a prepared evaluator"):
        Evaluator.load(tmp_path / "none")
    folder = Path(shutil.copytree(prepared[1], tmp_path / "copy"))
    (folder / "reference-random-conv.npz").unlink()
    with pytest.raises(InputError, match=r"reference-random-conv\.npz"):
        Evaluator.load(folder)
    protocol = yaml.safe_load((folder / PROTOCOL).read_text())
    protocol["features"]["random-conv"]["settings"]["seed"] = 7
    (folder / PROTOCOL).write_text(yaml.safe_dump(protocol))
    with pytest.raises(InputError, match="another digest"):
        Evaluator.load(folder)


def test_the_preset_states_the_defaults() -> None:
    text = (resources.files("conf") / "evaluators" / "embedded.yaml").read_text()
    assert text.startswith("# ")
    assert from_plain(EvaluatorSettings, yaml.safe_load(text)) == EvaluatorSettings()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="images: 1"):
        EvaluatorSettings(images=1)
    with pytest.raises(InputError, match="inception"):
        from_plain(EvaluatorSettings, {"fid": "inception"})
