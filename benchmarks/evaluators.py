"""What the embedded evaluators can tell apart, and what they cost: `python -m benchmarks.evaluators`.

Trains the embedded CLIP on the rendered scenes (one thread), then prints a Markdown table for
docs/evaluators.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.embedded import EmbeddedClip
from evaluators.networks.features import RandomConv
from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from training.data.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, render_scenes, scene_captions

SIZE_PX = 32
IMAGES = 400  # of a score


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def one_attribute_wrong(caption: str) -> list[str]:
    """The caption with its size, colour, shape or background replaced by the next one, each in turn."""
    changed = []
    for values in (list(SIZES), list(COLOURS), list(SHAPES), list(BACKGROUNDS)):
        here = next(value for value in values if value in caption.split())
        changed.append(caption.replace(here, values[(values.index(here) + 1) % len(values)]))
    return changed


def noisy(images: np.ndarray, share: float) -> np.ndarray:
    """Gaussian pixel noise whose deviation is a share of half the range."""
    noise = np.random.default_rng(0).normal(0, share * 127.5, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def main() -> None:
    torch.set_num_threads(1)
    names = scene_captions()
    images = render_scenes(5760 + 2160, SIZE_PX, seed=0)
    captions = [names[index % len(names)] for index in range(len(images))]
    held_out, held_captions = images[5760:], captions[5760:]

    def images_of(indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        return images[np.asarray(indices)], [captions[index] for index in indices]

    settings = EvaluatorSettings(images=IMAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def prepare() -> None:
            Evaluator.prepare(
                folder / "run",
                settings,
                train=images_of,
                train_count=5760,
                held_out_images=held_out,
                held_out_captions=held_captions,
                data_digest="benchmark",
                cache_folder=folder / "cache",
            )

        print("| what | figure |\n|---|---|")
        import open_clip  # noqa: F401  (its import, about 7 s, is no part of the training)

        processor = time.process_time()
        wall = seconds(prepare)
        processor = time.process_time() - processor
        steps = settings.clip.steps
        print(
            f"| prepare, with training ({steps} steps) | {processor:.1f} s of one core, {wall:.1f} s in all |"
        )
        print(f"| prepare, from the cache | {seconds(prepare):.1f} s |")
        print(f"| load, libraries imported | {seconds(lambda: Evaluator.load(folder / 'run')):.2f} s |")
        evaluator = Evaluator.load(folder / "run")
    report(evaluator, names, held_out, held_captions)


def report(evaluator: Evaluator, names: list[str], held_out: np.ndarray, held_captions: list[str]) -> None:
    clip = evaluator.clip
    fresh = [render_scenes(IMAGES, SIZE_PX, seed=10 + repeat) for repeat in range(8)]
    prompts = names[:IMAGES]
    print(f"| one score of {IMAGES} images | {seconds(lambda: evaluator.score(fresh[0], prompts)):.2f} s |")
    print(f"| resampled, 20 repeats | {seconds(lambda: evaluator.resampled(fresh[0], prompts)):.2f} s |")
    print(f"| top-1 of {evaluator_images(held_out)} held-out images | {clip.retrieval_accuracy:.3f} |")
    print_clip_scores(clip, names, held_out, held_captions)
    for model in (clip, evaluator.random_conv):
        print_distances(model, held_out)
    scores = [evaluator.score(images, prompts) for images in fresh]
    one, two = (evaluator.resamples(images, prompts) for images in fresh[:2])
    for name in one:
        observed = np.array([score[name] for score in scores])
        paired = (one[name] - two[name]).std(ddof=1) / np.sqrt(2)
        print(
            f"| {name}, {IMAGES} real images of the same prompts: mean of 8 sets; deviation between them; by "
            f"resampling one; by resampling a pair, over root 2 | {observed.mean():.4g}; "
            f"{observed.std(ddof=1):.2g}; {one[name].std(ddof=1):.2g}; {paired:.2g} |"
        )


def evaluator_images(held_out: np.ndarray) -> int:
    return min(EvaluatorSettings().retrieval_images, len(held_out))


def print_clip_scores(clip: EmbeddedClip, names: list[str], images: np.ndarray, captions: list[str]) -> None:
    images, captions = images[:720], captions[:720]
    wrong = [one_attribute_wrong(caption) for caption in captions]
    noise = np.random.default_rng(1).integers(0, 256, images.shape).astype(np.uint8)
    rows = {
        "right captions": clip.text_similarity(images, captions),
        **{
            f"{attribute} wrong": clip.text_similarity(images, [changed[index] for changed in wrong])
            for index, attribute in enumerate(("size", "colour", "shape", "background"))
        },
        "captions of other images": clip.text_similarity(images, captions[1:] + captions[:1]),
        "uniform noise for images": clip.text_similarity(noise, captions),
    }
    for what, values in rows.items():
        print(f"| CLIP score, {what} | {values.mean():.3f} |")


def print_distances(model: EmbeddedClip | RandomConv, held_out: np.ndarray) -> None:
    reference = Moments.of(model(held_out[:2000]))
    other = render_scenes(1000, SIZE_PX, seed=5)
    order = np.random.default_rng(0).permutation(1000)
    for count in (1000, 500, 400, 250):
        distance = frechet_distance(Moments.of(model(other[order[:count]])), reference)
        print(f"| FID, {model.name}, real against real, {count} images | {distance:.4g} |")
    for share in (0.05, 0.1, 0.2):
        distance = frechet_distance(Moments.of(model(noisy(other, share))), reference)
        print(f"| FID, {model.name}, 1000 images, pixel noise {share} | {distance:.4g} |")


if __name__ == "__main__":
    main()
