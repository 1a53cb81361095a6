"""What commands that train what generates share: its scores on the way, and what is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conf.compose import compose
from training.encoders import with_images
from training.files import PIPELINE_FOLDER
from training.handing_over import hand_over
from training.logs.observers import why
from training.model import Model
from training.model_card import Card
from training.run import ModelScores, Scores
from training.trainer import Trainer

EVALUATORS_OF_DATA = {"emoji": "emoji"}  # whose captions a CLIP of their pixels alone would not learn


def embedded_scores(
    groups: Mapping[str, Mapping[str, Any]], seed: int, trainer: Trainer, folder: Path
) -> Scores:
    """As trials of a search on this data are scored, by the embedded evaluator; on emoji as in
    experiment=emoji.

    Args:
        groups: fields of `training`, of `data` and maybe more, by the names of a search's settings.
    """
    from search.scoring.evaluator import prepare_evaluator
    from search.scoring.inputs import scored_captions
    from search.settings import settings_from_plain

    data = with_images(trainer.data, trainer.settings)
    sized = {**groups, "data": {**groups["data"], "image_size_px": data.image_size_px}}
    preset = EVALUATORS_OF_DATA.get(groups["data"]["name"], "embedded")
    words = [f"seed={seed}", f"evaluators={preset}"]
    settings = settings_from_plain(compose("search", words, stored=sized))
    evaluator = prepare_evaluator(settings, folder / f"evaluator-{data.image_size_px}px", data, print)
    captions = scored_captions(settings, data)

    def scored(model: Model) -> ModelScores:
        images = model.generate(captions, seed=seed)
        return ModelScores(*evaluator.score_and_deviations(images, captions), len(images))

    return scored


def hand_over_and_say(folder: Path, card: Callable[[], Card]) -> None:
    """The folder of a pipeline, with its card; what keeps it from being one is said."""
    try:
        reasons = hand_over(folder, card())
    except Exception as error:  # whatever it is: training has ended, and its weights are safe
        reasons = [why(error)]
    for reason in reasons:
        print(f"no {PIPELINE_FOLDER}/ for diffusers: {reason}")
