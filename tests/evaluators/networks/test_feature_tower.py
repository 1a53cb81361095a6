"""An embedded CLIP that sees images through EfficientNet-Lite0, here with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluators import testing
from evaluators.networks import efficientnet, embedded
from evaluators.networks.efficientnet import EfficientNet, EfficientNetSettings
from evaluators.networks.embedded import EmbeddedClip
from evaluators.networks.embedded_model import EmbeddedSettings
from evaluators.networks.embedded_store import embedded_clip, folder_name
from evaluators.networks.weights import Missing
from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from evaluators.testing import FEATURES_CONTRACT, name_of
from space.shared.plain import InputError
from tests.evaluators.conftest import Squares

THROUGH = EmbeddedSettings(steps=60, batch_size=32, efficientnet_px=32)


@pytest.fixture(autouse=True, scope="module")
def package(efficientnet_file: Path) -> Iterator[None]:
    """Random weights in place of the package's."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("evaluators.networks.embedded", "evaluators.scorers.embedded"):
            patch.setattr(f"{module}.find_efficientnet", lambda weights: efficientnet_file)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("through")


@pytest.fixture(scope="module")
def through(train: Squares, held_out: Squares, folder: Path) -> EmbeddedClip:
    return made(train, held_out, folder)


def made(train: Squares, held_out: Squares, folder: Path) -> EmbeddedClip:
    count = len(train.images)
    return embedded_clip(train.batch, count, held_out.images, held_out.captions, "squares", THROUGH, folder)


@pytest.mark.parametrize("clause", FEATURES_CONTRACT, ids=name_of)
def test_it_keeps_to_the_contract(
    clause: testing.FeaturesClause, through: EmbeddedClip, held_out: Squares
) -> None:
    clause(through, held_out.images[:30])


def test_it_learns_over_what_the_frozen_network_sees(through: EmbeddedClip, held_out: Squares) -> None:
    """Of sixteen captions, so that chance is 6 %; and of features that are the network's."""
    assert through.retrieval_accuracy > 0.3
    frozen = EfficientNet(embedded.find_efficientnet(None), EfficientNetSettings(32))  # type: ignore[arg-type]
    assert through.sees_through(frozen) and through.preparation == frozen.preparation
    assert np.array_equal(through.over(frozen(held_out.images)), through(held_out.images))
    assert not through.sees_through(None) and not through.sees_through(
        EfficientNet(embedded.find_efficientnet(None), EfficientNetSettings(64))  # type: ignore[arg-type]
    )


def test_it_is_kept_and_found_again(
    through: EmbeddedClip, train: Squares, held_out: Squares, folder: Path
) -> None:
    [kept] = [each for each in folder.iterdir() if each.is_dir()]
    again, found = EmbeddedClip.load(kept), made(train, held_out, folder)
    assert again.digest == through.digest == found.digest
    assert np.array_equal(again(held_out.images[:3]), through(held_out.images[:3]))
    names = {
        folder_name("squares", 256, 16, THROUGH, through.frozen),
        folder_name("squares", 256, 16, replace(THROUGH, efficientnet_px=None)),
    }
    assert kept.name in names and len(names) == 2


def test_without_the_package_it_cannot_be_read(
    through: EmbeddedClip, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [kept] = [each for each in folder.iterdir() if each.is_dir()]
    monkeypatch.undo()
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    monkeypatch.setattr(embedded, "find_efficientnet", efficientnet.find_efficientnet)
    with pytest.raises(Missing, match=r"pip install 'mdsearch\[emoji\]'"):
        EmbeddedClip.load(kept)


def test_a_search_looks_once(
    through: EmbeddedClip, train: Squares, held_out: Squares, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The CLIP takes the features that the FID is of; its protocol names what it sees through."""
    settings = EvaluatorSettings(
        16, clip=THROUGH, efficientnet=EfficientNetSettings(32), fid="efficientnet-lite0"
    )
    evaluator = Evaluator.prepare(
        tmp_path, settings, train=train.batch, train_count=len(train.images), data_digest="squares",
        held_out_images=held_out.images, held_out_captions=held_out.captions, cache_folder=folder,
    )  # fmt: skip
    said = evaluator.protocol["features"]
    assert said["embedded-clip"]["seen_through"]["digest"] == said["efficientnet-lite0"]["digest"]
    images, captions = held_out.images[:16], held_out.captions[:16]
    alone = through.text_similarity(images, captions).mean()
    looked: list[int] = []
    whole = EfficientNet.__call__
    monkeypatch.setattr(EfficientNet, "__call__", lambda self, x: looked.append(len(x)) or whole(self, x))
    for one in (evaluator, Evaluator.load(tmp_path)):
        looked.clear()
        assert one.score(images, captions)["clip_embedded"] == pytest.approx(alone, abs=1e-12)
        assert looked == [16]


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="efficientnet_px: 31 is not possible; allowed: 32 or more, null"):
        EmbeddedSettings(efficientnet_px=31)
