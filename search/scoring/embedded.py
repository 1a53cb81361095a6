"""A search scored by what it trains on its own data, without downloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluators.networks.embedded_model import EmbeddedSettings
from evaluators.networks.embedded_store import where_it_is
from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from search.formats import duration
from search.scoring.inputs import as_uint8, caption_list, sampling_of
from search.settings import SearchSettings
from training.data.dataset import Dataset


def prepare_embedded(
    settings: SearchSettings,
    chosen: EvaluatorSettings,
    folder: Path,
    data: Dataset,
    say: Callable[[str], None],
) -> Evaluator:
    say(f"the evaluators' small CLIP: {_clip_in_words(settings, chosen.clip, data)}")
    wanted = max(chosen.reference_images, chosen.retrieval_images)
    held_out_images, held_out_captions = as_uint8(
        data.held_out(range(min(wanted, len(data.held_out_captions))))
    )
    return Evaluator.prepare(
        folder,
        chosen,
        # One caption an image: another one of the same image in a batch would count as wrong.
        train=lambda indices: as_uint8(data.one_caption_each(list(indices))),
        train_count=data.train_images,
        held_out_images=held_out_images,
        held_out_captions=held_out_captions,
        data_digest=data.digest,
        cache_folder=settings.cache,
        captions=caption_list(settings, data),
        sampling=sampling_of(settings),
    )


def _clip_in_words(settings: SearchSettings, clip: EmbeddedSettings, data: Dataset) -> str:
    images, size = data.train_images, data.image_size_px
    place = where_it_is(data.digest, images, size, clip, settings.cache)
    if place == "nowhere":
        seconds = training_seconds(clip, size, images)
        return f"trained once on these images, about {duration(seconds)} on one core ..."
    return "comes along for these images" if place == "shipped" else f"of these images, in {settings.cache}"


def training_seconds(clip: EmbeddedSettings, image_size_px: int, images: int) -> float:
    """By the pixels that it looks at: 20 s for 420 steps of 64 images of 24 px; or by the images, each of
    which is seen once through a network that stays as it is: 3 s for 200 at 160 px."""
    if clip.efficientnet_px is not None:
        return 3 * images / 200 * (clip.efficientnet_px / 160) ** 2
    return 20 * (clip.steps * clip.batch_size * image_size_px**2) / (420 * 64 * 24**2)


def describe_embedded(evaluator: Evaluator) -> list[str]:
    found = (
        f"embedded CLIP: finds the right caption for {evaluator.clip.retrieval_accuracy:.1%} of "
        "the held-out images it was checked on"
    )
    return [found] if evaluator.clip.warning is None else [found, f"warning: {evaluator.clip.warning}"]
