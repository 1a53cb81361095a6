"""What scores a curve's samples: the evaluator of a run, with its captions and references."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from evaluators.evaluator import Evaluator
from search.curve_points import Measured
from search.settings import SearchSettings
from search.trial import evaluation_captions
from training.data import load_data
from training.sample_folder import SampleFolder


class RunJudge:
    """Scores as the trials of a run were: its embedded evaluator, its captions, its held-out references."""

    interval = "a standard deviation to either side, by resampling the pictures"

    def __init__(self, run: Path, settings: SearchSettings) -> None:
        self._evaluator = Evaluator.load(run / "evaluator")
        self.protocol, self.protocol_id = self._evaluator.protocol, self._evaluator.protocol_id
        self.fid, self.clip = self._evaluator.fid_name, self._evaluator.clip_name
        self.image_size_px: int = self.protocol["image_size_px"]
        held_out = load_data(settings.data).held_out_captions
        self.captions = evaluation_captions(held_out, self.protocol["images"])

    def __str__(self) -> str:
        return yaml.safe_dump(self.protocol, sort_keys=False)

    def score(self, samples: SampleFolder) -> Mapping[str, Measured]:
        pictures = samples.read()
        scores = self._evaluator.score(pictures, self.captions)
        spread = self._evaluator.resampled(pictures, self.captions)
        return {
            name: Measured(value, value - spread[name], value + spread[name])
            for name, value in scores.items()
        }
