"""Reference statistics: computed once, kept by content, shared as a file, refused where they do not fit."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.measuring.measured_set import OnImages
from evaluators.measuring.reference import Reference
from evaluators.measuring.reference_cache import MeasureSettings, reference_from
from evaluators.metrics.fid import Moments
from evaluators.networks.features import Networks, RandomConv, RandomConvSettings
from evaluators.protocols.protocol import ImageForm
from evaluators.protocols.sheet import Sheet
from mdsearch.commands import evaluate
from space.shared.plain import InputError

FORM = ImageForm(size_px=8, resize="bicubic")
COUNT = 30


def load() -> Networks:
    return Networks((RandomConv(RandomConvSettings(channels=(4, 6))),))


class Shown:
    """Remembers which work was shown."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    @contextmanager
    def __call__(self, label: str) -> Iterator[OnImages]:
        self.labels.append(label)
        yield lambda done, of: None


@pytest.fixture
def images(tmp_path: Path) -> np.ndarray:
    pixels = np.random.default_rng(4).integers(0, 256, (COUNT, 8, 8, 3)).astype(np.uint8)
    (tmp_path / "real").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "real" / f"{index}.png")
    return pixels


@pytest.fixture
def settings(tmp_path: Path) -> MeasureSettings:
    return MeasureSettings(part_images=8, cache_folder=str(tmp_path / "cache"))


def computed(
    source: Path, form: ImageForm, settings: MeasureSettings, **others: object
) -> tuple[Reference, bool]:
    """The reference, and whether its images had to be measured."""
    shown = Shown()
    reference = reference_from(str(source), form, load(), load, settings, shown, **others)  # type: ignore[arg-type]
    return reference, "reference images measured" in shown.labels


def test_statistics_are_those_of_the_images(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings
) -> None:
    reference, _ = computed(tmp_path / "real", FORM, settings)
    expected = Moments.of(load().features[0](images))
    moments = reference.moments["random-conv"]
    assert moments.count == COUNT == int(reference.about["images"])
    assert np.allclose(moments.mean, expected.mean, rtol=1e-6)
    assert np.allclose(moments.covariance, expected.covariance, rtol=1e-5, atol=1e-9)
    assert reference.features["random-conv"].shape == (COUNT, 10)


def test_they_are_computed_once_for_each_content_and_form(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings
) -> None:
    real = tmp_path / "real"
    assert computed(real, FORM, settings)[1]
    assert not computed(real, FORM, settings)[1]
    os.utime(real / "3.png", ns=(0, 0))  # touched, and the same inside
    assert not computed(real, FORM, settings)[1]
    real.rename(tmp_path / "moved")
    assert not computed(tmp_path / "moved", FORM, settings)[1]
    assert not computed(tmp_path / "moved", replace(FORM, drawn_size_px=64), settings)[
        1
    ]  # that is of samples
    assert computed(tmp_path / "moved", replace(FORM, resize="lanczos"), settings)[1]
    Image.new("RGB", (8, 8)).save(tmp_path / "moved" / "3.png")
    assert computed(tmp_path / "moved", FORM, settings)[1]
    assert not list((tmp_path / "cache").glob("*.parts"))


def test_a_part_of_the_images_by_a_list(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings
) -> None:
    (tmp_path / "list.csv").write_text("file_name,caption\n" + "".join(f"{i}.jpg,x\n" for i in (4, 2, 9)))
    some, _ = computed(tmp_path / "real", FORM, settings, wanted=3, only=str(tmp_path / "list.csv"))
    expected = load().features[0](images[[2, 4, 9]])
    assert np.allclose(some.features["random-conv"], expected, rtol=1e-6)
    with pytest.raises(InputError, match=r"^reference: 30 images, .* 3"):
        computed(tmp_path / "real", FORM, settings, wanted=3)


def test_a_shared_file_stands_for_the_images(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings
) -> None:
    ours, _ = computed(tmp_path / "real", FORM, settings)
    ours.save(tmp_path / "shared.safetensors")
    theirs, measured = computed(tmp_path / "shared.safetensors", FORM, settings)
    assert not measured and theirs.about == ours.about
    with pytest.raises(InputError, match="reference_list: chooses among images"):
        computed(tmp_path / "shared.safetensors", FORM, settings, only="list.csv")
    assert np.array_equal(theirs.moments["random-conv"].covariance, ours.moments["random-conv"].covariance)


@pytest.mark.parametrize(
    ("form", "seed", "message"),
    [
        (replace(FORM, size_px=16), 0, "another protocol: size_px 8 there and 16 here"),
        (
            replace(FORM, crop="center", antialias=False),
            0,
            "crop 'none' there and 'center' here; antialias True",
        ),
        (FORM, 1, "made by random-conv with weights .*, not "),
    ],
)
def test_a_shared_file_of_another_protocol_is_refused(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings, form: ImageForm, seed: int, message: str
) -> None:
    computed(tmp_path / "real", FORM, settings)[0].save(tmp_path / "shared.safetensors")
    networks = Networks((RandomConv(RandomConvSettings(channels=(4, 6), seed=seed)),))
    with pytest.raises(InputError, match=message):
        reference_from(str(tmp_path / "shared.safetensors"), form, networks, load, settings, Shown())


def test_a_shared_file_of_another_preparation_is_refused(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings
) -> None:
    ours, _ = computed(tmp_path / "real", FORM, settings)
    about = {**ours.about, "preparation": '{"random-conv": "squared"}'}
    replace(ours, about=about).save(tmp_path / "shared.safetensors")
    with pytest.raises(InputError, match="random-conv 'squared' there and 'as it is"):
        computed(tmp_path / "shared.safetensors", FORM, settings)
    replace(ours, about={}).save(tmp_path / "shared.safetensors")
    with pytest.raises(InputError, match="does not say of which images it is"):
        computed(tmp_path / "shared.safetensors", FORM, settings)


def test_unreadable_references_are_named(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings
) -> None:
    for name in ("5.png", "11.png"):
        (tmp_path / "real" / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"^reference: 2 of 30 .*: 5\.png, 11\.png"):
        computed(tmp_path / "real", FORM, settings)
    some, _ = computed(tmp_path / "real", FORM, replace(settings, max_unreadable=2))
    assert int(some.about["images"]) == 28
    with pytest.raises(InputError, match=r"reference: 2 of 30 images cannot be read"):  # though it is cached
        computed(tmp_path / "real", FORM, settings)


def test_one_image_is_no_reference(tmp_path: Path, settings: MeasureSettings) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "a.png")
    with pytest.raises(InputError, match="reference: 1 image; needed: two or more"):
        computed(tmp_path / "one", FORM, settings)


def test_statistics_by_command_give_the_score_of_the_images(images: np.ndarray, tmp_path: Path) -> None:
    """With features where KID is wanted; without them the file says so before anything is measured."""
    (tmp_path / "samples").mkdir()
    for index, image in enumerate(images[::-1] // 2):
        Image.fromarray(image).save(tmp_path / "samples" / f"{index}.png")
    common = [
        f"cache_folder={tmp_path / 'cache'}",
        "evaluators.images.size_px=8",
        "evaluators.features=[{network:random-conv}]",
    ]
    real, bare, whole = tmp_path / "real", tmp_path / "bare.safetensors", tmp_path / "whole.safetensors"
    assert evaluate.main([f"statistics={bare}", f"reference={real}", *common]) == 0
    assert (
        evaluate.main([f"statistics={whole}", f"reference={real}", "statistics_features=true", *common]) == 0
    )
    assert bare.stat().st_size < whole.stat().st_size

    def score(reference: Path, metrics: str) -> Sheet:
        out = tmp_path / f"{reference.stem}-{metrics}"
        words = [
            f"images={tmp_path / 'samples'}",
            f"reference={reference}",
            f"metrics={metrics}",
            f"out={out}",
        ]
        assert evaluate.main([*words, *common]) == 0
        return Sheet.load(out)

    of_images = score(real, "fid,kid").scores
    assert score(whole, "fid,kid").scores == of_images
    alone, beside = score(bare, "fid").scores["fid_random_conv"], of_images["fid_random_conv"]
    assert (alone.value, alone.interval, alone.protocol.id) == (
        beside.value,
        beside.interval,
        beside.protocol.id,
    )
    with pytest.raises(InputError, match="reference: holds moments alone, and kid need features"):
        score(bare, "fid,kid")
    assert not (tmp_path / "bare-fid,kid" / "parts").exists()


def test_a_cache_that_cannot_be_kept_ends_nothing(
    images: np.ndarray, tmp_path: Path, settings: MeasureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a folder that cannot be written nor a disk that is full when statistics are saved."""
    kept, _ = computed(tmp_path / "real", FORM, settings)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nowhere = replace(settings, cache_folder=str(tmp_path / "file" / "a"))
    elsewhere, _ = computed(tmp_path / "real", FORM, nowhere)

    def full(reference: Reference, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Reference, "save", full)
    unkept, _ = computed(tmp_path / "real", FORM, replace(settings, cache_folder=str(tmp_path / "new")))
    for reference in (elsewhere, unkept):
        assert reference.about == kept.about
        ours, theirs = (each.moments["random-conv"] for each in (reference, kept))
        assert np.array_equal(ours.mean, theirs.mean) and np.array_equal(ours.covariance, theirs.covariance)
