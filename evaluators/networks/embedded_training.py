"""Training of the embedded CLIP: InfoNCE (Radford et al., 2021) in which equal captions are one class.

Beside it the image features learn to name the caption's words (as in Huang et al., "Classification Done
Right for Vision-Language Pre-Training", 2024). A batch of 64 seldom holds two captions that differ in one
word alone, so InfoNCE by itself learns the last attribute late: .94 of held-out scenes against .999.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.networks.embedded_model import EmbeddedSettings, Vocabulary, build_embedded, model_config
from evaluators.networks.features import ImageFeatures, check_images, to_network

WARM_UP_STEPS = 20
READ_AT_ONCE = 512
LARGEST_SCALE = 100.0  # of the logits, as CLIP's

ReadPairs = Callable[[Sequence[int]], tuple[np.ndarray, Sequence[str]]]
"""Indices to images (B, H, W, 3) uint8 and their captions."""


def train_clip(
    train: ReadPairs,
    count: int,
    image_size_px: int,
    settings: EmbeddedSettings,
    on_step: Callable[[int, int, float], None] | None = None,
    frozen: ImageFeatures | None = None,
) -> tuple[nn.Module, Vocabulary]:
    """A trained model and its vocabulary; the caller's random state is left alone.

    It runs on one thread, so that the same weights come out however many cores there are.

    Args:
        frozen: the network that the images are seen through, where the settings ask for one.
    """
    rng = np.random.default_rng([settings.seed, 0xC11B])
    images, captions = _read(train, rng.permutation(count)[: settings.train_images])
    vocabulary = Vocabulary.of(sorted(set(captions)), settings.context_length)
    distinct = sorted(set(captions))
    row = {caption: index for index, caption in enumerate(distinct)}
    texts = vocabulary(distinct)
    labels = torch.tensor([row[caption] for caption in captions])

    with _one_thread(), torch.random.fork_rng(devices=[]):
        seen = None if frozen is None else torch.from_numpy(frozen(images)).float()
        torch.manual_seed(settings.seed)
        model = build_embedded(model_config(settings, vocabulary, image_size_px)).train()
        words = _words(texts, vocabulary.size)
        namer = nn.Linear(model.visual.trunk.num_features, words.shape[1])  # type: ignore[union-attr, arg-type]
        optimizer = torch.optim.AdamW(
            [*model.parameters(), *namer.parameters()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.98),
        )
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings.steps)
            batch = rng.integers(0, len(images), settings.batch_size)
            inputs = to_network(images[batch]) if seen is None else seen[torch.from_numpy(batch)]
            features = model.visual.trunk(inputs)  # type: ignore[union-attr, operator]
            loss = contrastive_loss(model, features, labels[batch], texts)
            loss = loss + settings.word_loss_weight * _word_loss(
                namer(features), words[labels[batch]].float()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if on_step is not None:
                on_step(step + 1, settings.steps, loss.item())
    return model.eval(), vocabulary


def contrastive_loss(model: nn.Module, features: Tensor, labels: Tensor, texts: Tensor) -> Tensor:
    """Mean of both directions: image to its caption, caption to (evenly) all its images of the batch.

    Images of a batch that share a caption would be each other's negatives in the plain form; with few
    captions that would teach the model to tell apart what it cannot.
    """
    present, own = torch.unique(labels, return_inverse=True)
    image = F.normalize(model.visual.head(features), dim=-1)  # type: ignore[union-attr, operator]
    text = model.encode_text(texts[present], normalize=True)  # type: ignore[operator]
    logits = model.logit_scale.exp().clamp(max=LARGEST_SCALE) * image @ text.T  # type: ignore[operator]
    shares = F.one_hot(own, len(present)).float()
    shares = shares / shares.sum(dim=0)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, shares.T)) / 2


def _word_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Binary cross-entropy, summed over the words and averaged over the images, both (B, words)."""
    return F.binary_cross_entropy_with_logits(logits, words, reduction="sum") / len(logits)


def _words(texts: Tensor, size: int) -> Tensor:
    """(captions, words) bool: which tokens each caption holds, without those that all hold."""
    present = torch.zeros(len(texts), size, dtype=torch.bool).scatter_(1, texts, True)
    return present[:, present.any(dim=0) & ~present.all(dim=0)]


def _schedule(step: int, steps: int) -> float:
    """A short linear warm-up, then half a cosine down to zero."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _read(train: ReadPairs, indices: np.ndarray) -> tuple[np.ndarray, list[str]]:
    images: list[np.ndarray] = []
    captions: list[str] = []
    for start in range(0, len(indices), READ_AT_ONCE):
        some, texts = train(indices[start : start + READ_AT_ONCE].tolist())
        check_images(some)
        images.append(some)
        captions += texts
    return np.concatenate(images), captions


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
