"""FID, KID and CLIP score by clean-fid and torchmetrics, from features and embeddings that are there already.

So neither of them looks at an image, loads a network or downloads anything. Each is imported when it is
asked, and what it chooses at random moves no generator of the caller's.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluators.metrics.fid import Moments

PEER_ROWS_AT_ONCE = 4096


def clean_fid_frechet(samples: np.ndarray, reference: np.ndarray | Moments) -> float:
    """Of (N, width) samples and (M, width) references, or their moments: by SciPy's matrix root.

    Raises:
        ValueError: the root has an imaginary part, as it may where a covariance lacks full rank.
    """
    with _quietly():
        from cleanfid import fid

        if isinstance(reference, Moments):
            own = samples.mean(axis=0), np.cov(samples, rowvar=False)
            return float(fid.frechet_distance(*own, reference.mean, reference.covariance))
        return float(fid.fid_from_feats(samples, reference))


def torchmetrics_frechet(samples: np.ndarray, reference: np.ndarray | Moments) -> float:
    """The same by sums, in float64, and eigenvalues of the covariances' product."""
    with _quietly():
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=_Given(samples.shape[1]))
        _update(metric, samples, real=False)
        if isinstance(reference, Moments):  # its states, as it would have summed them
            held, mean = reference.arrays(), torch.from_numpy(reference.mean)
            metric.real_features_num_samples = torch.tensor(reference.count)
            metric.real_features_sum = mean * reference.count
            metric.real_features_cov_sum = (
                torch.from_numpy(held["scatter"]) + torch.outer(mean, mean) * reference.count
            )
        else:
            _update(metric, reference, real=True)
        return float(metric.compute())


def clean_fid_kernel(samples: np.ndarray, references: np.ndarray) -> float:
    """KID of as many samples as references, (N, width) each, as one subset."""
    with _quietly():
        from cleanfid import fid

        return float(fid.kernel_distance(samples, references, num_subsets=1, max_subset_size=len(samples)))


def torchmetrics_kernel(samples: np.ndarray, references: np.ndarray) -> float:
    """The same by torchmetrics."""
    with _quietly():
        from torchmetrics.image.kid import KernelInceptionDistance

        metric = KernelInceptionDistance(
            feature=_Given(samples.shape[1]), subsets=1, subset_size=len(samples)
        )
        _update(metric, samples, real=False)
        _update(metric, references, real=True)
        return float(metric.compute()[0])


class TorchmetricsClipScore:
    """Their CLIP score over batches of embeddings that are there already."""

    def __init__(self) -> None:
        with _quietly():
            from torchmetrics.multimodal.clip_score import CLIPScore

            self._given = given = _GivenEmbeddings()
            towers: Any = lambda: (given, given.process)  # noqa: E731  (of no class that they name)
            self._metric: Any = CLIPScore(towers).set_dtype(torch.float64)

    def add(self, images: np.ndarray, texts: np.ndarray) -> None:
        """(N, width) embeddings of images and, row by row, of their captions."""
        self._given.texts = torch.from_numpy(texts)
        rows = list(torch.from_numpy(images)[:, :, None, None])
        with _quietly():
            self._metric.update(rows, [str(index) for index in range(len(texts))])

    @property
    def value(self) -> float:
        """The mean cosine, before theirs is cut at 0 and as ours not times 100."""
        return float(self._metric.score / self._metric.n_samples) / 100


class _Given(nn.Module):
    """In the place of Inception: the "images" are features already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


class _GivenEmbeddings(nn.Module):
    """In the place of a CLIP: an "image" is its embedding, a "caption" the row of its embedding."""

    config = SimpleNamespace()
    texts: Tensor

    def process(self, **inputs: Any) -> dict[str, Tensor]:
        if "images" in inputs:
            return {"pixel_values": torch.stack(inputs["images"])}
        rows = torch.tensor([int(text) for text in inputs["text"]])
        return {"input_ids": rows, "attention_mask": torch.ones_like(rows)}

    def get_image_features(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def get_text_features(self, rows: Tensor, attention_mask: Tensor) -> Tensor:
        return self.texts[rows]


def _update(metric: Any, features: np.ndarray, real: bool) -> None:
    for start in range(0, len(features), PEER_ROWS_AT_ONCE):
        some = np.ascontiguousarray(features[start : start + PEER_ROWS_AT_ONCE], np.float64)
        metric.update(torch.from_numpy(some), real=real)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without their prints and warnings, and with the global generators as they were."""
    state = np.random.get_state()  # noqa: NPY002  (clean-fid chooses its subsets by the global one)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            torch.random.fork_rng(devices=[]),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
