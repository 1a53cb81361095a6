"""A long training in a folder of its own: in parts, each ending with what is kept, and past what fails."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError
from space.shared.retries import StorageAway, patiently, reason_of, storage_error, waiting_time
from training.checkpoints import Checkpoints
from training.failures import Collapsed, Diverged
from training.files import CURVE_NAME, SAMPLES_NAME
from training.kept import KeptTraining
from training.logs.watching import Watched
from training.power_averages import remove_behind, store
from training.state import TrainingState

Kept = TypeVar("Kept", bound=KeptTraining[Any])


@dataclass(frozen=True)
class ModelScores:
    """Scores of so many images; their deviations over resampled ones, as far as these are known."""

    scores: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    images: int = 0


Scores = Callable[[Any], ModelScores]

# Of a line of the curve, beside scores by their names.
_LOSS, _DEVIATIONS, _IMAGES = "validation_loss", "deviations", "images"
BEFORE = "before"  # of the model that training began with


@dataclass(frozen=True)
class RunSettings:
    """What is kept of a long training, and how often it goes back."""

    seed: int = 0
    state_every_steps: int = 200
    keep_last: int = 2
    keep_steps: tuple[int, ...] = ()
    rollbacks: int = 1
    images: int = 48


class TrainingRun(Generic[Kept]):
    """One training in its folder: weights, states, curve and images, written at the end of each part.

    Args:
        stopped: whether to end behind the step that is at work.

    Attributes:
        scores: of a model, beside its validation loss; None: none.
        watched: by TensorBoard's files, and whoever is added.
    """

    def __init__(
        self,
        trainer: Kept,
        folder: Path,
        settings: RunSettings,
        *,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.trainer, self.folder, self.settings, self._stopped = trainer, folder, settings, stopped
        self._states = Checkpoints(folder, keep_last=settings.keep_last, keep_steps=settings.keep_steps)
        self.scores: Scores | None = None
        self.watched = Watched(lambda: trainer, folder, trainer.say, writes=trainer.ranks.is_first)
        self._lines: list[dict[str, object]] = []  # of the curve, since the last part

    def go_on(self) -> None:
        """From the last state that is whole, if there is one. Raises InputError where none can be used."""
        try:
            state = self._states.latest()
            if state is not None:
                self.trainer.restore(state, str(self._states.folder))
        except InputError as error:
            if storage_error(error):
                raise
            raise InputError(f"{error}; with what lies there deleted, training starts again") from None
        for line in self._states.damaged:
            self.trainer.say(f"{line}; going on from step {self.trainer.step}")
        self._by_first(self._cut_curve)

    def measured(self, model: Any) -> ModelScores:
        """The validation loss of a model, and its scores, if there are any."""
        with self.trainer.settings.autocast(self.trainer.device):
            scored = ModelScores() if self.scores is None else self.scores(model)
        loss = self.trainer.objective.validation_loss(model)
        scores = {name: round(value, 6) for name, value in ({_LOSS: loss} | scored.scores).items()}
        return replace(scored, scores=scores)

    def note(self, line: Mapping[str, object]) -> None:
        """A line of the curve of what no step gives."""
        self._lines.append({"step": self.trainer.step, **line})

    def train_to(self, last: int, on_step: Callable[[int, float], None]) -> None:
        """Part after part of `state_every_steps`; `on_step(step, loss)` follows each step. By all workers at
        once, of which the first measures and writes.

        Raises:
            Diverged: it failed, and going back did not help.
            Collapsed: it would only come there again.
            StorageAway: the folder could not be written for a long time.
        """

        def after(step: int, loss: float) -> None:
            if self.trainer.ranks.is_first:
                terms = {name: round(value, 6) for name, value in self.trainer.objective.terms().items()}
                self._lines.append({"step": step, "loss": round(loss, 6), **terms})
                self.watched.step(step, loss)
            on_step(step, loss)
            if self._stopped():
                raise _Stop

        self.watched.begin(self.trainer.step)
        while self.trainer.step < last and not self._stopped():
            part = self.settings.state_every_steps
            try:
                self.watched.start()
                self.trainer.train_to(min(last, (self.trainer.step // part + 1) * part), after)
                state = self.trainer.state()
                self._by_first(partial(self._keep, state, is_last=self.trainer.step >= last))
            except Diverged as error:
                self._go_back(error)
            except Collapsed:
                self._states.close()
                self._by_first(self._write_curve)  # it shows how
                raise
            except _Stop:
                break
        if self._stopped():
            self._by_first(partial(self._keep_state, self.trainer.state()))

    def keep_beginning(self) -> None:
        """The state as it stands, on the disk: what fails in the first part has something to go back to. By
        all workers at once."""
        self._by_first(partial(self._states.write, self.trainer.state()))

    def close(self) -> None:
        self._states.close()

    def _keep(self, state: TrainingState, *, is_last: bool) -> None:
        """Validation, weights and images of this step, and its state; but for the last, that is written while
        training goes on."""
        trainer = self.trainer
        measured = self.measured(trainer.averaged)
        if not math.isfinite(measured.scores[_LOSS]):  # else the next steps would fail, and go back to here
            raise Diverged(f"validation loss is no number at step {trainer.step}")
        trainer.save_weights(self.folder)
        trainer.save_images(self.folder, self.settings.images, self.settings.seed)
        self._lines = [line for line in self._lines if _LOSS not in line or BEFORE in line]
        self.note(measured.scores | _beside(measured))
        self._write_curve()
        if trainer.power_averages is not None:
            store(trainer.power_averages, trainer.step, self.folder)
        self.watched.tell(state, measured.scores, self.folder / SAMPLES_NAME)
        self._states.save(state)
        if is_last:
            self._states.wait()

    def _keep_state(self, state: TrainingState) -> None:
        self._write_curve()
        self.watched.tell(state)
        self._states.write(state)

    def _go_back(self, error: Diverged) -> None:
        """To the last good state, and on behind the batches that led to the failure: with those, an exact
        training would only fail again. Raises Diverged where that has been done often enough."""
        trainer = self.trainer
        self._states.close()
        trainer.ranks.wait()  # for the first one's
        state = self._states.latest()
        if state is None or trainer.rollbacks >= self.settings.rollbacks:
            kept = "none was written" if state is None else f"step {state.step}"
            self.watched.leave()
            again = f", after going back {trainer.rollbacks} time(s)" if trainer.rollbacks else ""
            raise Diverged(f"{error}{again}; last good state: {kept}") from None
        failed_at, rollbacks = trainer.step + trainer.data_offset, trainer.rollbacks
        trainer.restore(state, str(self._states.folder))
        trainer.rollbacks = rollbacks + 1
        skipped = failed_at + 1 - trainer.step - trainer.data_offset
        trainer.data_offset += skipped
        self._lines = []
        self._by_first(self._cut_curve)
        self.watched.begin(trainer.step)
        trainer.say(f"{error}: back to step {trainer.step}, and on without the {skipped} batches since")

    def _by_first(self, work: Callable[[], None]) -> None:
        self.trainer.ranks.first(partial(self._patiently, work))

    def _patiently(self, work: Callable[[], None]) -> None:
        """Raises StorageAway where storage fails the work for too long."""
        attempts = patiently(work)
        try:
            for waiting in attempts:
                self.trainer.say(f"waits: {waiting.reason}")
        except Exception as error:
            trouble = storage_error(error)
            if trouble is None:
                raise
            raise StorageAway(
                f"gave up after {waiting_time()}: {reason_of(trouble)}; the last whole state stays; "
                f"go on with: {command_line(self.trainer.command, resume=self.folder)}"
            ) from None

    def _cut_curve(self) -> None:
        """Drop the lines, and averages, behind the step that training is at."""
        remove_behind(self.folder, self.trainer.step)
        path, step = self.folder / CURVE_NAME, self.trainer.step
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            if len(kept) < len(lines):
                write_whole(path, "".join(kept))

    def _write_curve(self) -> None:
        """All lines since the last time, or none of them."""
        text = "".join(json.dumps(line) + "\n" for line in self._lines)
        with (self.folder / CURVE_NAME).open("ab") as file:
            before = file.tell()
            try:
                file.write(text.encode())
                file.flush()
            except OSError:
                file.truncate(before)
                raise
        self._lines = []


def _beside(scored: ModelScores) -> dict[str, object]:
    deviations = {name: round(value, 6) for name, value in scored.deviations.items()}
    return {_DEVIATIONS: deviations, _IMAGES: scored.images} if scored.images else {}


def curve_lines(folder: Path) -> list[str]:
    """Of a training's curve, a JSON object each; none where there is no curve yet."""
    path = folder / CURVE_NAME
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def last_scored(folder: Path) -> ModelScores | None:
    """What the last line of a training's curve says of its averaged weights; None: none does."""
    for line in map(json.loads, reversed(curve_lines(folder))):
        if _LOSS in line and BEFORE not in line:
            others = ("step", _DEVIATIONS, _IMAGES)
            scores = {name: value for name, value in line.items() if name not in others}
            return ModelScores(scores, line.get(_DEVIATIONS, {}), line.get(_IMAGES, 0))
    return None


class _Stop(Exception):
    """Raised between two steps, where the state is whole."""
