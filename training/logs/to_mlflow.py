"""Runs in MLflow: where, says its own MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from training.logs.observers import Points
from training.logs.trackers import Described, HowEnded, dotted_params

EXPERIMENT = "mdsearch"
# Unless the user says otherwise: a server that is away is waited for half a minute, not for many.
SOON = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
MOST_METRICS, MOST_PARAMS, MOST_LETTERS = 1000, 100, 6000  # of one request; letters of a param
STATUSES: dict[HowEnded, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class Mlflow:
    """A tracking server, or a database or folder in its place."""

    name: ClassVar[str] = "mlflow"

    def __init__(self) -> None:
        for variable, value in SOON.items():
            os.environ.setdefault(variable, value)
        import mlflow

        self.place = mlflow.get_tracking_uri()
        self._client: Any = mlflow.MlflowClient(self.place)

    def open(self, what: Described, kept: Any, folder: Path) -> MlflowRun:
        if kept is not None and self._is_there(kept):
            self._client.update_run(kept, "RUNNING")
            return MlflowRun(self._client, kept)
        tags = {"mdsearch.job": what.job, "mdsearch.folder": str(folder.resolve())}
        if what.within is not None:
            tags["mlflow.parentRunId"] = what.within[0]
        run = self._client.create_run(self._experiment(), run_name=what.name, tags=tags)
        self._log_params(run.info.run_id, what.params)
        return MlflowRun(self._client, run.info.run_id)

    def _is_there(self, run: str) -> bool:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

        try:
            return bool(self._client.get_run(run).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            return False

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self._client.get_experiment_by_name(name)
        return str(known.experiment_id if known is not None else self._client.create_experiment(name))

    def _log_params(self, run: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        made = [Param(name, str(value)[:MOST_LETTERS]) for name, value in dotted_params(params).items()]
        for some in _batches(made, MOST_PARAMS):
            self._client.log_batch(run, params=some)


class MlflowRun:
    """A run of it. What it holds already it says itself, so that nothing is there twice after a kill."""

    def __init__(self, client: Any, run: str) -> None:
        self._client, self.kept = client, run
        self._images: set[int] = set()
        self._held: dict[str, int] | None = None  # the last step by metric; None: not asked yet

    @property
    def id(self) -> str:
        return str(self.kept)

    def log(self, points: Points) -> None:
        from mlflow.entities import Metric

        if self._held is None:
            self._held = self._last_steps()
        now, held = int(time.time() * 1000), self._held
        new = [
            Metric(name, value, now, step)
            for step, values in points.items()
            for name, value in values.items()
            if step > held.get(name, -1)
        ]
        self._held = None  # unless all of what follows is done
        for some in _batches(new, MOST_METRICS):
            self._client.log_batch(self.kept, metrics=some)
        self._held = held | {metric.key: metric.step for metric in new}

    def log_image(self, step: int, name: str, png: bytes) -> None:
        from PIL import Image

        if step in self._images:
            return
        image = Image.open(io.BytesIO(png))
        self._client.log_image(self.kept, image, artifact_file=f"{name}/{step:08d}.png")
        self._images.add(step)

    def log_files(self, files: Iterable[Path]) -> None:
        for file in files:
            self._client.log_artifact(self.kept, str(file))

    def end(self, how: HowEnded, reason: str = "") -> None:
        if reason:
            self._client.set_tag(self.kept, "mdsearch.reason", reason)
        self._client.set_terminated(self.kept, STATUSES[how])

    def _last_steps(self) -> dict[str, int]:
        names = self._client.get_run(self.kept).data.metrics
        histories = {name: self._client.get_metric_history(self.kept, name) for name in names}
        return {name: max(metric.step for metric in history) for name, history in histories.items()}


def _batches(items: list[Any], most: int) -> Iterator[list[Any]]:
    return (items[start : start + most] for start in range(0, len(items), most))
