"""`evaluators=own`: images in their own sizes, resized by networks alone; statistics from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.clip_models import OpenClip
from evaluators.networks.features import RandomConv, RandomConvSettings
from evaluators.protocols.score import Score
from evaluators.protocols.sheet import Sheet
from mdsearch.commands import evaluate
from space.shared.plain import InputError
from tests.evaluators.conftest import TINY_CLIP

SIDES = ((48, 48), (30, 40), (64, 52))


def images(count: int, seed: int, sides: tuple[tuple[int, int], ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*sides[index % len(sides)], 3), np.uint8) for index in range(count)]


def folder_of(folder: Path, pixels: list[np.ndarray]) -> Path:
    folder.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def score(tmp_path: Path, name: str, *words: str) -> Score:
    out = tmp_path / name
    assert evaluate.main([f"out={out}", "metrics=fid", f"cache_folder={tmp_path / 'cache'}", *words]) == 0
    (found,) = Sheet.load(out).scores.values()
    return found


RANDOM_CONV = "evaluators.features=[{network:random-conv}]"


def test_several_sizes_are_resized_by_the_network_alone(
    tiny_clip: OpenClip, tiny_clip_weights: Path, tmp_path: Path
) -> None:
    samples, real = images(12, 1, SIDES), images(14, 2, SIDES[::-1])
    words = [
        f"images={folder_of(tmp_path / 'samples', samples)}",
        f"evaluators.features=[{{network:open-clip,model:{TINY_CLIP}}}]",
        f"weights.files.{TINY_CLIP}={tiny_clip_weights}",
    ]
    reference = folder_of(tmp_path / "real", real)
    alone = [Moments.of(np.concatenate([tiny_clip(one[None]) for one in some])) for some in (samples, real)]
    found = score(tmp_path, "out", *words, f"reference={reference}")
    assert found.value == pytest.approx(frechet_distance(*alone), rel=1e-5)
    form = found.protocol.images
    assert (form.size_px, form.resize) == (None, "none")

    shared = tmp_path / "real.safetensors"  # which says that its images kept their sizes
    assert evaluate.main([f"statistics={shared}", f"reference={reference}", *words[1:]]) == 0
    again = score(tmp_path, "shared", *words, f"reference={shared}")
    assert (again.value, again.protocol.id) == (pytest.approx(found.value), found.protocol.id)


@pytest.mark.parametrize("packed", [False, True])
def test_sets_of_one_size_keep_the_protocol_that_names_it(tmp_path: Path, packed: bool) -> None:
    samples, real = images(20, 1, ((16, 16),)), images(24, 2, ((16, 16),))
    sources = [folder_of(tmp_path / "samples", samples), folder_of(tmp_path / "real", real)]
    if packed:
        for source, pixels in zip(sources, (samples, real), strict=True):
            np.savez(source.with_suffix(".npz"), np.stack(pixels))
        sources = [source.with_suffix(".npz") for source in sources]
    words = [f"images={sources[0]}", f"reference={sources[1]}", RANDOM_CONV]
    named = score(tmp_path, "named", *words, "evaluators.images.size_px=16")
    found = score(tmp_path, "own", *words)
    assert (found.value, found.protocol.id) == (named.value, named.protocol.id)
    assert found.protocol.images.size_px == 16


def test_what_does_not_resize_or_fit_is_refused(tmp_path: Path) -> None:
    real = folder_of(tmp_path / "real", images(4, 2, ((16, 16),)))
    words = [f"images={folder_of(tmp_path / 'samples', images(6, 1, SIDES))}", RANDOM_CONV]
    with pytest.raises(InputError, match=r"images\.size_px: null, .* random-conv"):
        score(tmp_path, "out", *words, f"reference={real}")
    shared = tmp_path / "real.safetensors"
    assert evaluate.main([f"statistics={shared}", f"reference={real}", RANDOM_CONV]) == 0
    small = folder_of(tmp_path / "small", images(6, 1, ((8, 8),)))
    with pytest.raises(InputError, match=r"images\.size_px: null, images of several sizes"):
        score(tmp_path, "out", f"images={small}", RANDOM_CONV, f"reference={shared}")


def test_mu_and_sigma_of_pytorch_fid_are_a_reference(tmp_path: Path) -> None:
    samples, real = (np.stack(images(20, seed, ((16, 16),))) for seed in (1, 2))
    network = RandomConv(RandomConvSettings())
    features = network(real)
    np.savez(tmp_path / "real.npz", mu=features.mean(axis=0), sigma=np.cov(features, rowvar=False))
    np.savez(tmp_path / "samples.npz", samples)
    words = [f"images={tmp_path / 'samples.npz'}", RANDOM_CONV]
    found = score(tmp_path, "out", *words, f"reference={tmp_path / 'real.npz'}")
    expected = frechet_distance(Moments.of(network(samples)), Moments.of(features))
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert any("holds mu and sigma, and not by which network" in note for note in found.notes)
    reference = found.protocol.reference
    assert reference is not None and reference.images is None and reference.digest
    for arrays, message in (
        (
            {"mu": np.zeros(3), "sigma": np.eye(3)},
            "3 features by one network; this protocol has random-conv 192",
        ),
        ({"mu": np.zeros(192), "sigma": np.eye(3)}, "cannot be read as mu and sigma"),
        ({"mu": np.zeros(192), "sigma": np.triu(np.ones((192, 192)))}, "not symmetric"),
        ({"mu": np.full(192, np.nan), "sigma": np.eye(192)}, "NaN or infinite"),
    ):
        np.savez(tmp_path / "wrong.npz", **arrays)
        with pytest.raises(InputError, match=message):
            score(tmp_path, "wrong", *words, f"reference={tmp_path / 'wrong.npz'}")
    with pytest.raises(InputError, match="holds statistics already"):
        evaluate.main(
            [f"statistics={tmp_path / 'a.safetensors'}", f"reference={tmp_path / 'real.npz'}", RANDOM_CONV]
        )
    with pytest.raises(InputError, match=r"images: .* mu, sigma; needed: arr_0"):
        score(
            tmp_path,
            "out",
            f"images={tmp_path / 'real.npz'}",
            RANDOM_CONV,
            f"reference={tmp_path / 'real.npz'}",
        )
