"""A worker of Ray that trains nothing and imports little, so that hundreds start in little time. What it has
reached lies in a file a job, as the state of a real one does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray import tune

from search.strategy import Job, Report
from space.shared.files import write_whole

A_RUNG_SECONDS = 0.2


class LightActor(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._reports = _reports(new_config["job"], Path(new_config["settings"].run_folder))
        return True

    def step(self) -> dict[str, Any]:
        return {"report": next(self._reports)}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """There is none."""


def _reports(job: Job, folder: Path) -> Iterator[Report]:
    state = folder / f"{job.key}.step"
    reached = int(state.read_text()) if state.exists() else 0
    for step in (step for step in job.rungs if step >= reached):
        if step > reached:
            time.sleep(A_RUNG_SECONDS)
            write_whole(state, str(step))
            with (folder / f"{job.key}.work").open("a") as file:
                file.write(f"{step}\n")
        yield Report(step, {"fid_embedded_clip": 9 - step / 1e3, "clip_embedded": 0.1}, {"training": 1.0})
