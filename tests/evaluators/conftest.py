"""Images with captions small enough to train an embedded CLIP on in a second, and sets for the command."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.networks import hps
from evaluators.networks.clip_models import OpenClip, build_open_clip
from evaluators.networks.embedded import EmbeddedClip
from evaluators.networks.embedded_model import EmbeddedSettings
from evaluators.networks.embedded_store import embedded_clip
from evaluators.networks.features import ImageFeatures, RandomConv, RandomConvSettings
from evaluators.networks.inception import CleanInception, fid_inception
from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from tests.evaluators.command import SIZE, noise, write_images

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 70), "blue": (60, 110, 240), "yellow": (245, 205, 40)}
PLACES = {"top left": (4, 4), "top right": (4, 12), "bottom left": (12, 4), "bottom right": (12, 12)}
CAPTIONS = [f"a {colour} square in the {place}" for colour in COLOURS for place in PLACES]
SIZE_PX = 16


@dataclass(frozen=True)
class Squares:
    """A coloured square in a corner of a grey image: sixteen captions, jittered by a pixel."""

    images: np.ndarray
    captions: list[str]

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        return self.images[np.asarray(indices)], [self.captions[index] for index in indices]


def squares(count: int, seed: int) -> Squares:
    rng = np.random.default_rng(seed)
    images = np.full((count, SIZE_PX, SIZE_PX, 3), 120, np.uint8)
    captions = [CAPTIONS[index % len(CAPTIONS)] for index in range(count)]
    for image, caption in zip(images, captions, strict=True):
        _, colour, _, _, _, *place = caption.split()
        row, column = np.array(PLACES[" ".join(place)]) + rng.integers(-1, 2, 2)
        image[row - 3 : row + 3, column - 3 : column + 3] = COLOURS[colour]
    return Squares(images, captions)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def train() -> Squares:
    return squares(256, seed=1)


@pytest.fixture(scope="session")
def held_out() -> Squares:
    return squares(128, seed=2)


@pytest.fixture(scope="session")
def quick() -> EmbeddedSettings:
    return EmbeddedSettings(steps=80, batch_size=32)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def clip(train: Squares, held_out: Squares, quick: EmbeddedSettings, cache: Path) -> EmbeddedClip:
    return embedded_clip(
        train.batch, len(train.images), held_out.images, held_out.captions, "squares", quick, cache
    )


TINY_CLIP = "tiny-for-tests"
TINY_CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def tiny_clip_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a small open_clip architecture, which open_clip now knows, as it publishes its own."""
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    config = folder / f"{TINY_CLIP}.json"
    config.write_text(json.dumps(TINY_CONFIG))
    open_clip.add_model_config(config)
    torch.manual_seed(3)
    model = open_clip.create_model(TINY_CLIP)
    torch.save({"state_dict": {f"module.{name}": item for name, item in model.state_dict().items()}},
               folder / "open_clip_pytorch_model.bin")  # fmt: skip
    return folder / "open_clip_pytorch_model.bin"


@pytest.fixture(scope="session")
def tiny_clip(tiny_clip_weights: Path) -> OpenClip:
    return OpenClip(TINY_CLIP, None, tiny_clip_weights)


@pytest.fixture(scope="session")
def inception_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights as clean-fid's TorchScript file has them, and as pytorch-fid's state dict."""
    folder = tmp_path_factory.mktemp("inception")
    torch.manual_seed(4)
    network = fid_inception().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):  # uniform weights of unit gain: normal ones take seconds more
                module.weight.uniform_(-1, 1).mul_((6 / module.weight[0].numel()) ** 0.5)
    files = {"pytorch-fid": folder / "pt_inception.pth", "clean-fid": folder / "inception.pt"}
    torch.save(network.state_dict(), files["pytorch-fid"])
    network.fc = nn.Identity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.zeros(1, 3, 299, 299))
        torch.jit.script(ScriptedInception(traced)).save(str(files["clean-fid"]))
    return files


@pytest.fixture(scope="session")
def efficientnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of seed 4 under other names, as the package has them."""
    import timm

    torch.manual_seed(4)
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    file = tmp_path_factory.mktemp("efficientnet") / "efficientnet.pth"
    renamed = {(f"_{n}" if "num_batches_tracked" not in n else n): item for n, item in state.items()}
    torch.save(renamed, file)
    return file


class ScriptedInception(nn.Module):
    """The parts of NVIDIA's file that clean-fid uses: `layers`, from normalised images to 2048 features."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers((images - 128) / 128)


@pytest.fixture(
    scope="session",
    params=["embedded-clip", "random-conv", "open-clip", pytest.param("inception", marks=pytest.mark.slow)],
)
def features(request: pytest.FixtureRequest) -> ImageFeatures:
    """Every feature set; a new one joins here, and must pass the contract."""
    if request.param == "random-conv":
        return RandomConv(RandomConvSettings())
    if request.param == "inception":
        return CleanInception(request.getfixturevalue("inception_files")["clean-fid"])
    made: ImageFeatures = request.getfixturevalue(
        {"embedded-clip": "clip", "open-clip": "tiny_clip"}[request.param]
    )
    return made


@pytest.fixture(scope="session")
def prepared(
    train: Squares,
    held_out: Squares,
    quick: EmbeddedSettings,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Evaluator, Path]:
    """An evaluator of 64 images, and the folder that a worker would load it from."""
    folder = tmp_path_factory.mktemp("evaluator")
    evaluator = Evaluator.prepare(
        folder,
        EvaluatorSettings(images=64, clip=quick),
        train=train.batch,
        train_count=len(train.images),
        held_out_images=held_out.images,
        held_out_captions=held_out.captions,
        data_digest="squares",
        cache_folder=cache,
    )
    return evaluator, folder


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`samples` and `real`, of one distribution, and `dark`, of another."""
    folder = tmp_path_factory.mktemp("sets")
    write_images(folder / "samples", noise(60, seed=1))
    write_images(folder / "dark", noise(60, seed=2, brightest=128))
    write_images(folder / "real", noise(80, seed=3))
    return folder


@pytest.fixture
def words(sets: Path, tmp_path: Path) -> list[str]:
    """Of `mdsearch evaluate`, by the one network that needs no weights."""
    return [
        f"images={sets / 'samples'}",
        f"reference={sets / 'real'}",
        "metrics=fid",
        f"out={tmp_path / 'out'}",
        f"cache_folder={tmp_path / 'cache'}",
        f"evaluators.images.size_px={SIZE}",
        "evaluators.features=[{network:random-conv}]",
        "part_images=7",
    ]


@pytest.fixture(scope="session")
def hps_weights(tiny_clip_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the small architecture as HPS's authors publish theirs, under the name of v2.0."""
    torch.manual_seed(6)
    path = tmp_path_factory.mktemp("hps") / "HPS_v2_compressed.pt"
    torch.save({"epoch": 1, "state_dict": build_open_clip(TINY_CLIP).state_dict()}, path)
    return path


@pytest.fixture
def hps_file(hps_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Those weights, for an HPS of the small architecture."""
    monkeypatch.setattr(hps, "HPS_ARCHITECTURE", TINY_CLIP)
    return hps_weights
