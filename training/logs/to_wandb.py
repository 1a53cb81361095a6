"""Runs in Weights & Biases: where, say its own WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE and the like."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from training.logs.observers import Points
from training.logs.trackers import Described, HowEnded

PROJECT = "mdsearch"
EXIT_CODES: dict[HowEnded, int] = {"finished": 0, "stopped": 0, "failed": 1}


class WeightsAndBiases:
    """A project on a server; or a folder, with WANDB_MODE=offline, that `wandb sync` sends later.

    Raises:
        RuntimeError: there is no key for the server. It would be asked for where nobody may be there.
    """

    name: ClassVar[str] = "wandb"

    def __init__(self) -> None:
        import wandb

        self.place = os.environ.get("WANDB_PROJECT", PROJECT)
        self._is_online = wandb.setup().settings.mode in (None, "online", "shared")
        if self._is_online and not wandb.login(prompt=False):
            raise RuntimeError("no API key; needed: wandb login, or WANDB_MODE=offline")

    def open(self, what: Described, kept: Any, folder: Path) -> WandbRun:
        import wandb

        own = kept or {"id": uuid.uuid4().hex[:12], "step": -1, "image": -1}
        run = wandb.init(
            project=self.place,
            id=own["id"],
            name=what.name,
            group=what.within[1] if what.within else what.name if what.job == "search" else None,
            job_type=what.job,
            config=dict(what.params),
            resume="allow",
            reinit="create_new",
            dir=os.environ.get("WANDB_DIR", str(folder)),
            settings=wandb.Settings(silent=True, console="off"),
        )
        return WandbRun(run, own | {"step": max(own["step"], run.step - 1)})


class WandbRun:
    """A run of it. Its steps rise; `kept` says which was the last, of values and of images."""

    def __init__(self, run: Any, kept: dict[str, Any]) -> None:
        self._run, self.kept = run, kept
        self._open = -1  # the step that this process may add to

    @property
    def id(self) -> str:
        return str(self.kept["id"])

    def log(self, points: Points) -> None:
        for step, values in points.items():
            if step > self.kept["step"] or step == self._open:
                self._run.log(dict(values), step=step)
                self._open = step
                self.kept = self.kept | {"step": step}

    def log_image(self, step: int, name: str, png: bytes) -> None:
        import wandb
        from PIL import Image

        if step > self.kept["image"]:
            self._run.log({name: wandb.Image(Image.open(io.BytesIO(png)))}, step=step)
            self.kept = self.kept | {"image": step}

    def log_files(self, files: Iterable[Path]) -> None:
        import wandb

        artifact = wandb.Artifact(f"{self.id}-results", type="results")
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def end(self, how: HowEnded, reason: str = "") -> None:
        self._run.summary.update({"ended": how} | ({"reason": reason} if reason else {}))
        self._run.finish(exit_code=EXIT_CODES[how])
