"""The embedded CLIP: what it learns, how it is kept, and that open_clip can read it."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors import SafetensorError

from evaluators.metrics.clip_score import cosines
from evaluators.networks import conv_tower
from evaluators.networks.clip_models import WEIGHTS
from evaluators.networks.embedded import ABOUT, EmbeddedClip
from evaluators.networks.embedded_model import EmbeddedSettings, Vocabulary
from evaluators.networks.embedded_store import embedded_clip, kept, publish
from evaluators.networks.embedded_training import contrastive_loss
from evaluators.networks.features import to_network
from space.shared.plain import InputError
from tests.evaluators.conftest import CAPTIONS, Squares


def test_finds_held_out_captions(clip: EmbeddedClip) -> None:
    assert clip.retrieval_accuracy >= 0.95  # of sixteen captions


def test_right_captions_score_above_wrong_ones(clip: EmbeddedClip, held_out: Squares) -> None:
    right = clip.text_similarity(held_out.images, held_out.captions)
    shifted = clip.text_similarity(held_out.images, held_out.captions[1:] + held_out.captions[:1])
    assert right.shape == (128,) and (np.abs(right) <= 1 + 1e-9).all()
    assert right.mean() > shifted.mean() + 0.3
    one = [*held_out.captions[1:2], *held_out.captions[1:]]  # the first image alone gets a wrong caption
    assert clip.text_similarity(held_out.images, one).mean() < right.mean()


def test_similarity_does_not_depend_on_the_company(clip: EmbeddedClip, held_out: Squares) -> None:
    whole = clip.text_similarity(held_out.images, held_out.captions)
    alone = clip.text_similarity(held_out.images[70:71], held_out.captions[70:71])
    assert alone[0] == pytest.approx(whole[70], abs=1e-6)


def test_captions_and_images_must_match(clip: EmbeddedClip, held_out: Squares) -> None:
    with pytest.raises(ValueError, match="128 images beside 3 captions"):
        clip.text_similarity(held_out.images, CAPTIONS[:3])
    with pytest.raises(ValueError, match="NaN or infinite cosines in 1 of 2"):
        cosines(np.array([[1.0, 0.0], [0.0, 0.0]]), np.ones((2, 2)))


def test_a_folder_that_cannot_be_written_ends_nothing(
    clip: EmbeddedClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert kept(clip, tmp_path / "file" / "clip") is clip
    assert capsys.readouterr().err.startswith("note: the CLIP is not kept")
    assert kept(clip, tmp_path / "clip").digest == clip.digest


def test_is_trained_once_and_then_read(
    clip: EmbeddedClip, train: Squares, held_out: Squares, quick: EmbeddedSettings, cache: Path
) -> None:
    def never(indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        raise AssertionError("trained again")

    again = embedded_clip(
        never, len(train.images), held_out.images, held_out.captions, "squares", quick, cache
    )
    assert again.digest == clip.digest
    assert again.retrieval_accuracy == clip.retrieval_accuracy
    assert np.array_equal(again(held_out.images), clip(held_out.images))
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]
    for data, settings in (("other", quick), ("squares", dataclasses.replace(quick, seed=1))):
        with pytest.raises(AssertionError, match="trained again"):
            embedded_clip(never, len(train.images), held_out.images, held_out.captions, data, settings, cache)


def test_a_model_that_cannot_be_kept_is_used_all_the_same(
    train: Squares, held_out: Squares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = EmbeddedSettings(steps=2, batch_size=8)

    def made(cache: Path) -> EmbeddedClip:
        return embedded_clip(train.batch, 256, held_out.images, held_out.captions, "squares", few, cache)

    kept = made(tmp_path / "kept")

    def full(*arguments: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    unkept = made(tmp_path / "full")
    assert list((tmp_path / "full").iterdir()) == []
    assert unkept.digest == kept.digest and unkept.retrieval_accuracy == kept.retrieval_accuracy
    assert kept.about == json.loads(json.dumps(unkept.about)) | {"digest": kept.digest}
    assert np.array_equal(unkept(held_out.images), kept(held_out.images))


def test_the_same_weights_come_out_and_random_state_stays(
    train: Squares, held_out: Squares, tmp_path: Path
) -> None:
    few = EmbeddedSettings(steps=5, batch_size=8)
    digests = []
    for run in range(2):
        torch.manual_seed(run)
        before = torch.get_rng_state()
        made = embedded_clip(
            train.batch, 256, held_out.images, held_out.captions, "squares", few, tmp_path / str(run)
        )
        digests.append(made.digest)
        assert torch.equal(torch.get_rng_state(), before)
    assert digests[0] == digests[1]


def test_a_model_that_learned_nothing_is_warned_of(clip: EmbeddedClip, tmp_path: Path) -> None:
    assert clip.warning is None and clip.about["retrieval_captions"] == 16
    ignorant = copy.copy(clip)
    ignorant.about = clip.about | {"retrieval_accuracy": 2 / 16}
    ignorant.save(tmp_path / "ignorant")
    warning = EmbeddedClip.load(tmp_path / "ignorant").warning  # as a resumed search loads it
    assert warning is not None
    assert warning.startswith(
        "the embedded CLIP finds the right one of 16 held-out captions for 12.5% of the images, and chance "
        "finds 6.2%"
    )


def test_whoeverpublishes_first_stays(clip: EmbeddedClip, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "entry"
    publish(clip, folder)
    (folder / "mark").touch()
    publish(clip, folder)
    assert (folder / "mark").exists() and [path.name for path in folder.parent.iterdir()] == ["entry"]


def test_open_clip_reads_the_folder(clip: EmbeddedClip, held_out: Squares, tmp_path: Path) -> None:
    clip.save(tmp_path)
    model = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    with torch.inference_mode():
        peer = model.encode_image(to_network(held_out.images[:8]), normalize=True).numpy()
    own = clip.image_embeddings(clip(held_out.images[:8]))
    assert np.abs(peer - own).max() < 1e-5
    assert model.visual.trunk.num_features == conv_tower.FEATURES == clip.width


def test_damaged_files_are_named(clip: EmbeddedClip, tmp_path: Path) -> None:
    clip.save(tmp_path / "cut")
    weights = tmp_path / "cut" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cut: cannot be read as an embedded CLIP"):
        EmbeddedClip.load(tmp_path / "cut")
    clip.save(tmp_path / "swapped")
    about = tmp_path / "swapped" / ABOUT
    about.write_text(json.dumps(json.loads(about.read_text()) | {"digest": "0" * 16}))
    with pytest.raises(InputError, match="not 0000"):
        EmbeddedClip.load(tmp_path / "swapped")
    shutil.rmtree(tmp_path / "cut")
    with pytest.raises(InputError, match="cut"):
        EmbeddedClip.load(tmp_path / "cut")


def test_vocabulary_keeps_the_end_of_text_highest_and_cuts_long_captions() -> None:
    vocabulary = Vocabulary.of(["a red square", "a blue square in a corner"], 77)
    assert vocabulary.context_length == 8  # start, six words, end
    rows = vocabulary(["a red square", "a red square in a corner and much more", "a mauve square"])
    end = vocabulary.size - 1
    assert rows.shape == (3, 8) and rows.max() == end
    assert rows[0].tolist().count(end) == 1 and rows[0, 5:].tolist() == [0, 0, 0]
    assert rows[1, -1] == end
    assert 1 in rows[2].tolist() and 1 not in rows[:2].flatten().tolist()


class Fixed(torch.nn.Module):
    """Embeddings that are given, so that the loss can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = torch.zeros(())
        self.visual = torch.nn.ModuleDict({"head": torch.nn.Identity()})
        self.visual.head = self.visual["head"]

    def encode_text(self, x: torch.Tensor, normalize: bool) -> torch.Tensor:
        return x


def test_equal_captions_are_no_negatives() -> None:
    """Two images of caption 0 and one of caption 1, all on their caption: logits [[1, 0], [1, 0], [0, 1]]."""
    axes = torch.eye(2)
    labels = torch.tensor([0, 0, 1])
    loss = contrastive_loss(Fixed(), axes[labels], labels, axes)
    e = np.e
    to_caption = np.log(1 + 1 / e)
    to_images = (np.log((2 * e + 1) / e) + np.log((e + 2) / e)) / 2
    assert loss.item() == pytest.approx((to_caption + to_images) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"batch_size": 1}, "batch_size: 1"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"text_width": 49}, "text_width: 49 .* nearest: 48"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EmbeddedSettings(**wrong)  # type: ignore[arg-type]


def test_the_room_imports_without_the_search_and_open_clip() -> None:
    code = (
        "import sys\n"
        "for name in ('ray', 'optuna', 'hydra', 'omegaconf', 'open_clip', 'timm'): sys.modules[name] = None\n"
        "import evaluators.scorers.embedded, evaluators.networks.embedded_training\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('training', 'search', 'conf')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
