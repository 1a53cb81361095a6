"""CLIP score: how well images agree with their captions (Hessel et al., 2021), without rescaling.

The mean cosine, as the MobileDiffusion paper and others print it (.325), not 100 or 2.5 times that.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized

import numpy as np


def cosines(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of each image embedding (N, width) with the text embedding of its row: (N,) float64.

    One an image, so that the noise of their mean, the CLIP score, can be estimated by resampling.

    Raises:
        ValueError: embeddings of different shapes, or a cosine that is not finite (a zero or NaN embedding).
    """
    if images.shape != texts.shape:
        raise ValueError(f"image embeddings {images.shape} beside text embeddings {texts.shape}")
    images, texts = images.astype(np.float64), texts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(images, axis=1) * np.linalg.norm(texts, axis=1)
        scores = (images * texts).sum(axis=1) / lengths
    if not np.isfinite(scores).all():
        raise ValueError(f"NaN or infinite cosines in {int((~np.isfinite(scores)).sum())} of {len(scores)}")
    return scores


def check_pairs(images: Sized, captions: Sequence[str]) -> None:
    """Raises ValueError where there is not one caption per image."""
    if isinstance(captions, str) or len(images) != len(captions):
        raise ValueError(
            f"{len(images)} images beside {len(captions)} captions; expected one caption per image"
        )
