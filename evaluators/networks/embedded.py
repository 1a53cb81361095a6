"""The embedded CLIP: a small open_clip model, trained once on a search's own training split.

Its scores are named for it and never pass for those of CLIP ViT-B/32 or Inception: they compare candidates
of one data set with each other, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.metrics.clip_score import check_pairs, cosines
from evaluators.networks.clip_models import WEIGHTS
from evaluators.networks.efficientnet import EfficientNet, EfficientNetSettings, find_efficientnet
from evaluators.networks.embedded_model import Vocabulary, build_embedded
from evaluators.networks.features import CHUNK, Images, in_chunks, weights_digest
from evaluators.networks.tokens import bpe
from space.shared.files import replacing
from space.shared.plain import InputError

CONFIG, ABOUT = "open_clip_config.json", "embedded_clip.json"
LEAST_ABOVE_CHANCE = 3.0  # retrieval under so many times chance makes a metric network not worth using


class EmbeddedClip:
    """Image features (the layer before the projection) and similarities of images and captions.

    Attributes:
        digest: of the weights.
        width: of the image features.
        frozen: the network that it sees images through; None where it sees their pixels.
        retrieval_accuracy: share of held-out images whose own caption is the nearest of all captions there.
    """

    name = "embedded-clip"

    def __init__(
        self,
        model: nn.Module,
        vocabulary: Vocabulary,
        about: dict[str, Any],
        frozen: EfficientNet | None = None,
    ) -> None:
        self._model, self._vocabulary, self.about = model.eval(), vocabulary, about
        self.frozen = frozen
        self.preparation = "as it is, to [-1, 1]" if frozen is None else frozen.preparation
        self.digest = weights_digest(model.state_dict())
        self.width = int(model.visual.trunk.num_features)  # type: ignore[union-attr, arg-type]
        self.retrieval_accuracy = float(about.get("retrieval_accuracy", float("nan")))

    def __call__(self, images: Images) -> np.ndarray:
        """(N, H, W, 3) uint8 to (N, width) float64: the penultimate features."""
        if self.frozen is not None:
            return self.over(self.frozen(images))
        return in_chunks(self._model.visual.trunk, images)  # type: ignore[union-attr, arg-type]

    def sees_through(self, network: EfficientNet | None) -> bool:
        """Whether `over` takes what this network gives."""
        ours = self.frozen
        if ours is None or network is None:
            return False
        return (ours.digest, ours.preparation) == (network.digest, network.preparation)

    def over(self, frozen: np.ndarray) -> np.ndarray:
        """(N, F) features of the network that it sees through to (N, width) float64, as `__call__`."""
        rows = [frozen[start : start + CHUNK] for start in range(0, len(frozen), CHUNK)]
        with torch.inference_mode():
            outputs = [self._model.visual.trunk(_filled_up(each))[: len(each)].double() for each in rows]  # type: ignore[union-attr, operator]
        return torch.cat(outputs).numpy()

    def text_similarity(self, images: Images, captions: Sequence[str]) -> np.ndarray:
        """(N, H, W, 3) uint8 and N captions to (N,) float64 cosines."""
        check_pairs(images, captions)
        return self.similarity(self(images), captions)

    def similarity(self, features: np.ndarray, captions: Sequence[str]) -> np.ndarray:
        """As `text_similarity`, from image features that are there already."""
        return cosines(*self._pairs(features, captions))

    def embeddings(self, images: Images, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N, embedding_width) float64 of length 1: of N images, and of their captions."""
        check_pairs(images, captions)
        return self._pairs(self(images), captions)

    def _pairs(self, features: np.ndarray, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        distinct = sorted(set(captions))
        row = {caption: index for index, caption in enumerate(distinct)}
        texts = self.text_embeddings(distinct)[[row[caption] for caption in captions]]
        return self.image_embeddings(features), texts

    def image_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(N, width) features to (N, embedding_width) float64 of length 1."""
        with torch.inference_mode():
            projected = self._model.visual.head(torch.from_numpy(features).float())  # type: ignore[union-attr, operator]
            return F.normalize(projected.double(), dim=-1).numpy()

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """(N, embedding_width) float64 of length 1, in batches of one size, as images are."""
        tokens = self._vocabulary(captions)
        outputs = []
        with torch.inference_mode():
            for start in range(0, len(tokens), CHUNK):
                chunk = tokens[start : start + CHUNK]
                padded = torch.zeros((CHUNK, tokens.shape[1]), dtype=tokens.dtype)
                padded[: len(chunk)] = chunk
                embedded = self._model.encode_text(padded)[: len(chunk)].double()  # type: ignore[operator]
                outputs.append(F.normalize(embedded, dim=-1))
        return torch.cat(outputs).numpy()

    def too_long(self, captions: Sequence[str]) -> int:
        """How many of the captions have more tokens than the text tower takes."""
        return int((bpe(captions, self._vocabulary.context_length + 1)[:, -1] != 0).sum())

    def retrieve(self, images: np.ndarray, captions: Sequence[str]) -> float:
        """Top-1: the share of images whose own caption is the nearest among the distinct captions."""
        distinct = sorted(set(captions))
        nearest = (self.image_embeddings(self(images)) @ self.text_embeddings(distinct).T).argmax(axis=1)
        return float(np.mean([distinct[index] == own for index, own in zip(nearest, captions, strict=True)]))

    @property
    def warning(self) -> str | None:
        """Why its scores mean little, in words for whoever reads them; None where they mean something."""
        captions, accuracy = self.about.get("retrieval_captions", 1), self.retrieval_accuracy
        if captions < 2 or accuracy >= min(LEAST_ABOVE_CHANCE / captions, 0.5 + 0.5 / captions):
            return None
        return (
            f"the embedded CLIP finds the right one of {captions} held-out captions for {accuracy:.1%} of "
            f"the images, and chance finds {1 / captions:.1%}: its scores mean little on these data. It "
            "may need longer training: evaluators.clip.steps"
        )

    def save(self, folder: Path) -> None:
        """In the layout that open_clip reads as `local-dir:`, with what else is known beside it."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS) as own:
            save_file({name: item.contiguous() for name, item in self._model.state_dict().items()}, own)
        (folder / CONFIG).write_text(json.dumps({"model_cfg": self.about["model_cfg"]}, indent=1))
        (folder / ABOUT).write_text(json.dumps(self.about | {"digest": self.digest}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> EmbeddedClip:
        """Raises InputError where the folder is not one that `save` wrote, or was damaged since, or where the
        network that it sees through is missing."""
        import open_clip

        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            vocabulary = Vocabulary(about["vocabulary"], about["model_cfg"]["text_cfg"]["context_length"])
            with torch.random.fork_rng(devices=[]):  # loading must not move the caller's random state
                model = build_embedded(about["model_cfg"])
            open_clip.load_checkpoint(model, str(folder / WEIGHTS))
        except (
            Exception
        ) as error:  # what safetensors, json and torch raise on damaged files is not one family
            raise InputError(f"{folder}: cannot be read as an embedded CLIP: {error}") from error
        clip = cls(model, vocabulary, about, seen_through(about.get("efficientnet_px")))
        if clip.digest != about["digest"]:
            raise InputError(
                f"{folder}: weights of digest {clip.digest}, not {about['digest']}; delete the folder"
            )
        return clip


def seen_through(size_px: int | None) -> EfficientNet | None:
    """The network that a CLIP sees images through. Raises InputError where its package is not installed."""
    if size_px is None:
        return None
    return EfficientNet(find_efficientnet(None), EfficientNetSettings(size_px))


def _filled_up(rows: np.ndarray) -> Tensor:
    """(N, F) float64 to (CHUNK, F) float32, zeros behind: one shape, and so one kernel, always."""
    found = torch.zeros((CHUNK, rows.shape[1]))
    found[: len(rows)] = torch.from_numpy(rows)
    return found
