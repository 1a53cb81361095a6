"""Inception's loading paths and preparation, through random weights saved in the real formats."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.networks import inception
from evaluators.networks.features import weights_digest
from evaluators.networks.inception import (
    CleanInception,
    Inception,
    PytorchInception,
    clean_resize,
    fid_inception,
)
from evaluators.networks.weights import load_tensors
from space.shared.plain import InputError


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def clean(inception_files: dict[str, Path]) -> CleanInception:
    return CleanInception(inception_files["clean-fid"])


@pytest.fixture(scope="module")
def clean_values(clean: CleanInception, images: np.ndarray) -> np.ndarray:
    return clean(images)


def test_the_script_and_the_state_dict_give_equal_features(
    inception_files: dict[str, Path], clean_values: np.ndarray, images: np.ndarray
) -> None:
    other = CleanInception(inception_files["pytorch-fid"])(images)
    assert clean_values.shape == (3, 2048) and clean_values.std() > 0.01
    assert np.abs(other - clean_values).max() <= 1e-5 * np.abs(clean_values).max()


def test_the_two_preparations_differ(
    inception_files: dict[str, Path], clean_values: np.ndarray, images: np.ndarray
) -> None:
    """Pillow's filter widens where an image shrinks; the interpolation inside pytorch-fid does not."""
    other = PytorchInception(inception_files["pytorch-fid"])(images)
    assert np.abs(other - clean_values).max() > 1e-3 * np.abs(clean_values).max()


def test_features_are_those_of_the_network_written_out(
    inception_files: dict[str, Path], images: np.ndarray
) -> None:
    """pytorch-fid, step by step: [0, 1], bilinear, [-1, 1], and the pooled last block of `written_out`."""
    state = load_tensors(inception_files["pytorch-fid"])
    x = torch.from_numpy(images[:1]).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, (299, 299), mode="bilinear", align_corners=False) * 2 - 1
    with torch.inference_mode():
        expected = written_out(x, state).numpy()
    found = PytorchInception(inception_files["pytorch-fid"])(images[:1])
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def written_out(x: Tensor, state: object) -> Tensor:
    """Inception-v3 from Szegedy et al. (2016), with FID's pooling, from a state dict and functions alone."""
    weights: dict[str, Tensor] = dict(state)  # type: ignore[call-overload]

    def conv(x: Tensor, name: str, stride: int = 1, padding: int | tuple[int, int] = 0) -> Tensor:
        x = F.conv2d(x, weights[f"{name}.conv.weight"], stride=stride, padding=padding)
        norm = [weights[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *norm, training=False, eps=0.001))

    def average(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    def block_a(x: Tensor, name: str) -> Tensor:
        five = conv(conv(x, f"{name}.branch5x5_1"), f"{name}.branch5x5_2", padding=2)
        three = conv(conv(x, f"{name}.branch3x3dbl_1"), f"{name}.branch3x3dbl_2", padding=1)
        three = conv(three, f"{name}.branch3x3dbl_3", padding=1)
        return torch.cat(
            [conv(x, f"{name}.branch1x1"), five, three, conv(average(x), f"{name}.branch_pool")], 1
        )

    def block_c(x: Tensor, name: str) -> Tensor:
        row, column = (0, 3), (3, 0)
        seven = conv(conv(x, f"{name}.branch7x7_1"), f"{name}.branch7x7_2", padding=row)
        seven = conv(seven, f"{name}.branch7x7_3", padding=column)
        double = conv(conv(x, f"{name}.branch7x7dbl_1"), f"{name}.branch7x7dbl_2", padding=column)
        double = conv(double, f"{name}.branch7x7dbl_3", padding=row)
        double = conv(double, f"{name}.branch7x7dbl_4", padding=column)
        double = conv(double, f"{name}.branch7x7dbl_5", padding=row)
        return torch.cat(
            [conv(x, f"{name}.branch1x1"), seven, double, conv(average(x), f"{name}.branch_pool")], 1
        )

    def block_e(x: Tensor, name: str, pooled: Tensor) -> Tensor:
        def pair(x: Tensor, stem: str) -> list[Tensor]:
            return [conv(x, f"{stem}a", padding=(0, 1)), conv(x, f"{stem}b", padding=(1, 0))]

        three = pair(conv(x, f"{name}.branch3x3_1"), f"{name}.branch3x3_2")
        double = conv(conv(x, f"{name}.branch3x3dbl_1"), f"{name}.branch3x3dbl_2", padding=1)
        double_pair = pair(double, f"{name}.branch3x3dbl_3")
        last = conv(pooled, f"{name}.branch_pool")
        return torch.cat([conv(x, f"{name}.branch1x1"), *three, *double_pair, last], 1)

    x = conv(conv(conv(x, "Conv2d_1a_3x3", 2), "Conv2d_2a_3x3"), "Conv2d_2b_3x3", padding=1)
    x = conv(conv(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
    x = F.max_pool2d(x, 3, 2)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = block_a(x, name)
    double = conv(conv(x, "Mixed_6a.branch3x3dbl_1"), "Mixed_6a.branch3x3dbl_2", padding=1)
    x = torch.cat(
        [conv(x, "Mixed_6a.branch3x3", 2), conv(double, "Mixed_6a.branch3x3dbl_3", 2), F.max_pool2d(x, 3, 2)],
        1,
    )
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = block_c(x, name)
    seven = conv(conv(x, "Mixed_7a.branch7x7x3_1"), "Mixed_7a.branch7x7x3_2", padding=(0, 3))
    seven = conv(conv(seven, "Mixed_7a.branch7x7x3_3", padding=(3, 0)), "Mixed_7a.branch7x7x3_4", 2)
    three = conv(conv(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", 2)
    x = torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)
    x = block_e(x, "Mixed_7b", average(x))
    x = block_e(x, "Mixed_7c", F.max_pool2d(x, 3, 1, 1))
    return x.mean(dim=(2, 3))


@pytest.mark.parametrize("kind", [CleanInception, PytorchInception])
def test_an_image_becomes_the_same_input_alone_and_among_other_sizes(
    kind: type[Inception], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "load_inception", lambda *given: (None, ""))  # not needed here
    network = kind(Path("nowhere"))
    others = [np.zeros((300, 20, 3), np.uint8), *images]
    assert torch.equal(network.prepare(others)[1:], network.prepare(images))


def test_clean_resizing_is_pillows_without_rounding() -> None:
    ramp = np.tile(np.linspace(0, 255, 600).astype(np.uint8)[:, None, None], (1, 600, 3))
    found = clean_resize(ramp)
    rounded = np.asarray(Image.fromarray(ramp).resize((299, 299), Image.Resampling.BICUBIC))
    assert found.dtype == np.float32 and found.shape == (299, 299, 3)
    assert 0 < np.abs(found - rounded).max() <= 0.51


def test_a_digest_does_not_depend_on_the_file(inception_files: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = load_tensors(inception_files["pytorch-fid"])
    save_file(dict(state), tmp_path / "inception.safetensors")
    found = CleanInception(tmp_path / "inception.safetensors")
    assert found.digest == weights_digest(state)


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="not the state dict of pytorch-fid's Inception"):
        CleanInception(tmp_path / "other.pth")
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "other.pt"))
    with pytest.raises(InputError, match="without `layers`"):
        CleanInception(tmp_path / "other.pt")


def test_a_script_of_other_features_is_refused(tmp_path: Path) -> None:
    torch.jit.script(Layers()).save(str(tmp_path / "other.pt"))
    with pytest.raises(InputError, match=r"other\.pt: .* 3 features; needed: .* 2,048"):
        CleanInception(tmp_path / "other.pt")(np.zeros((1, 8, 8, 3), np.uint8))


class Layers(nn.Module):
    """The mean of each colour."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_it_has_the_size_of_the_published_network() -> None:
    """27,161,264 in torchvision with 1,000 classes and the auxiliary head; 23,851,784 without that head."""
    with torch.device("meta"):
        network = fid_inception()
    assert sum(item.numel() for item in network.parameters()) == 23_834_568 - 1000 * 2049 + 1008 * 2049


def test_equals_clean_fid(
    inception_files: dict[str, Path], clean_values: np.ndarray, images: np.ndarray, tmp_path: Path
) -> None:
    """Where that package is installed: its folder of images, its resize and its loader, the same file."""
    features = pytest.importorskip("cleanfid.inception_torchscript")
    fid = pytest.importorskip("cleanfid.fid")
    shutil.copy(inception_files["clean-fid"], tmp_path / "inception-2015-12-05.pt")
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(1)
    others = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((512, 512), (30, 700), (299, 299))]
    for index, image in enumerate([*images, *others]):  # of one size, and of several
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    network = features.InceptionV3W(str(tmp_path), download=False)
    expected = fid.get_folder_features(
        str(tmp_path / "images"), network, num_workers=0, device=torch.device("cpu"), verbose=False
    )
    found = np.concatenate([clean_values, CleanInception(inception_files["clean-fid"])(others)])
    assert np.abs(expected - found).max() <= 1e-5 * np.abs(expected).max()
