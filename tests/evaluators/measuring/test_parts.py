"""Images measured part by part: whatever stops it, what comes out is the same, and nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from evaluators.measuring.measured_set import MeasuredSet, measure_set
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.parts import Work
from evaluators.networks.features import Networks, RandomConv, RandomConvSettings
from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import Missing, WeightsSettings
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec
from evaluators.run import networks_alone
from space.shared.plain import InputError

COUNT, PART = 21, 5
FORM = ImageForm(size_px=8, resize="bicubic")


def small_networks() -> Networks:
    return Networks((RandomConv(RandomConvSettings(channels=(4, 6))),))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 10, 3)).astype(np.uint8)
    (tmp_path / "images").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    return Work(
        source=str(tmp_path / "images"),
        field="images",
        samples=True,
        captions=None,
        form=FORM,
        load=small_networks,
        folder=tmp_path / "parts",
        part_images=PART,
    )


def features(result: MeasuredSet) -> np.ndarray:
    return result.measured.features["random-conv"].values


def changed(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}


def test_parts_add_up_to_the_whole(work: Work) -> None:
    networks = small_networks()
    told = []
    result = measure_set(work, networks, on_images=lambda done, of: told.append((done, of)))
    assert told == [(0, 21), (5, 21), (10, 21), (15, 21), (20, 21), (21, 21)]
    images = np.stack(
        [
            np.asarray(Image.open(f"{work.source}/{index}.png").resize((8, 8), Image.Resampling.BICUBIC))
            for index in range(COUNT)
        ]
    )
    whole = Measurements.by(networks)
    whole.add(networks, range(COUNT), images)
    assert np.abs(features(result) - whole.features["random-conv"].values).max() <= 1e-6
    assert result.measured.indices.tolist() == list(range(COUNT))


def test_what_is_finished_is_not_done_again(work: Work) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done == 10:
            raise Stop

    with pytest.raises(Stop):
        measure_set(work, small_networks(), on_images=stop)
    finished = changed(work.folder)
    assert len(finished) == 2
    told = []
    resumed = measure_set(work, small_networks(), on_images=lambda done, of: told.append(done))
    assert told == [10, 15, 20, 21]
    assert changed(work.folder).items() > finished.items()
    elsewhere = replace(work, folder=work.folder.with_name("undisturbed"))
    undisturbed = measure_set(elsewhere, small_networks())
    assert np.array_equal(features(resumed), features(undisturbed))
    assert resumed.digest == undisturbed.digest


def test_a_changed_image_is_measured_again_with_its_part_alone(work: Work) -> None:
    before = measure_set(work, small_networks())
    at_first = changed(work.folder)
    Image.new("RGB", (9, 9), "red").save(Path(work.source) / "7.png")
    after = measure_set(work, small_networks())
    now = changed(work.folder)
    assert [name for name in now if now[name] != at_first[name]] == ["00000005.json"]
    differing = (features(before) != features(after)).any(axis=1)
    assert np.flatnonzero(differing).tolist() == [7]
    assert before.digest != after.digest


def test_a_torn_part_is_measured_again(work: Work) -> None:
    before = measure_set(work, small_networks())
    (work.folder / "00000010.json").write_text('{"key": "')
    (work.folder / "00000015.safetensors").unlink()
    (work.folder / "00000000.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"00000000\.safetensors: .*; delete it, and it is made again"):
        measure_set(work, small_networks())
    for name in ("00000000", "00000015"):
        (work.folder / f"{name}.safetensors").unlink()
    (work.folder / "00000010.json").write_text('{"key": "')
    told = []
    after = measure_set(work, small_networks(), on_images=lambda done, of: told.append(done))
    assert told == [6, 11, 16, 21]
    assert np.array_equal(features(before), features(after))


def test_another_form_or_other_weights_share_no_part(work: Work) -> None:
    measure_set(work, small_networks())
    for other, networks in (
        (replace(work, form=replace(FORM, resize="lanczos")), small_networks()),
        (work, Networks((RandomConv(RandomConvSettings(channels=(4, 6), seed=1)),))),
    ):
        told = []
        measure_set(other, networks, on_images=lambda done, of, told=told: told.append(done))
        assert told[0] == 0


def test_worker_processes_measure_the_same(work: Work) -> None:
    """With networks as the command hands them to workers."""
    alone = measure_set(work, small_networks())
    spec = NetworkSpec("random-conv", settings={"channels": [4, 6], "seed": 0})
    protocol = EvaluationProtocol("small", 2, FORM, (spec,), (), None, None)
    load = partial(networks_alone, protocol, WeightsSettings(), ComputeSettings())
    apart = replace(work, folder=work.folder.with_name("b"), load=load)
    several = measure_set(apart, small_networks(), workers=2)
    assert np.array_equal(features(alone), features(several))
    assert alone.digest == several.digest


def gone_by_now() -> Networks:
    raise Missing("inception-v3: its weights went away")


def too_large() -> Networks:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nmore")


def ended_by_the_system() -> Networks:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (gone_by_now, "^inception-v3: its weights went away$"),
        pytest.param(
            too_large, r"memory is full \(CUDA .* 20 GiB\.\); allowed: fewer", marks=pytest.mark.slow
        ),
        pytest.param(
            ended_by_the_system, r"workers: one was ended by SIGKILL \(out of memory", marks=pytest.mark.slow
        ),
    ],
)
def test_a_worker_that_cannot_begin_says_why(load: Callable[[], Networks], said: str, work: Work) -> None:
    with pytest.raises(InputError, match=said):
        measure_set(replace(work, load=load), small_networks(), workers=2)


def test_unreadable_images_are_named_and_left_out(work: Work) -> None:
    for name in ("3.png", "12.png"):
        (Path(work.source) / name).write_bytes(b"not an image")
    result = measure_set(work, small_networks())
    assert list(result.unreadable) == ["3.png", "12.png"] and "cannot identify" in result.unreadable["3.png"]
    assert result.measured.indices.tolist() == [i for i in range(COUNT) if i not in (3, 12)]


def test_a_part_without_any_readable_image_is_empty(work: Work) -> None:
    for index in range(5, 10):
        (Path(work.source) / f"{index}.png").write_bytes(b"")
    result = measure_set(work, small_networks())
    assert len(result.unreadable) == 5 and len(result.measured) == COUNT - 5
    assert len(measure_set(work, small_networks()).measured) == COUNT - 5


def test_images_that_may_not_be_resized_must_have_the_size(work: Work) -> None:
    with pytest.raises(InputError, match=r"^images: 0\.png has 10x12 px .* 8x8"):
        measure_set(replace(work, form=ImageForm(size_px=8)), small_networks())


def test_samples_must_have_been_generated_at_the_protocols_size_and_references_not(work: Work) -> None:
    sized = replace(work, form=replace(FORM, drawn_size_px=12))
    with pytest.raises(InputError, match=r"^images: 0\.png has 10x12 px .* samples .* 12x12"):
        measure_set(sized, small_networks())
    assert len(measure_set(replace(sized, samples=False), small_networks()).measured) == COUNT


def test_only_samples_pass_through_the_file_format(work: Work) -> None:
    plain = measure_set(work, small_networks())
    jpeg = replace(work, form=replace(FORM, file_format="jpeg", jpeg_quality=30))
    assert not np.allclose(features(plain), features(measure_set(jpeg, small_networks())))
    of_references = measure_set(replace(jpeg, samples=False), small_networks())
    assert np.array_equal(features(plain), features(of_references))


def test_a_folder_that_cannot_be_written_is_one_message(work: Work, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        measure_set(replace(work, folder=tmp_path / "file" / "parts"), small_networks())


def test_a_full_disk_is_one_message_and_leaves_whole_parts_alone(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, of: int) -> None:
        if done == 10:
            monkeypatch.setattr("safetensors.numpy.save_file", full)

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("No space left on device")

    with pytest.raises(InputError, match="parts: cannot be written: No space left on device"):
        measure_set(work, small_networks(), on_images=stop)
    assert sorted(path.name for path in work.folder.iterdir()) == [
        "00000000.json",
        "00000000.safetensors",
        "00000005.json",
        "00000005.safetensors",
    ]


def test_a_device_whose_memory_is_full_is_one_message(work: Work) -> None:
    class Large(RandomConv):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nmore")

    with pytest.raises(InputError, match=r"memory is full \(CUDA .* 20 GiB\.\); allowed: fewer workers="):
        measure_set(work, Networks((Large(RandomConvSettings(channels=(4, 6))),)))


def test_features_that_are_not_finite_name_their_images(work: Work) -> None:
    class Broken(RandomConv):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images) * float("nan")

    networks = Networks((Broken(RandomConvSettings(channels=(4, 6))),))
    with pytest.raises(InputError, match=r"^images: images 0 to 4: NaN .* 5 of 5"):
        measure_set(work, networks)
