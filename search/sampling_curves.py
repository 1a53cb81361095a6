"""`python -m search.sampling_curves`: FID against CLIP score over guidance, and both over sampling steps."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from rich.console import Console

from conf.compose import compose, help_text, run_door
from conf.progress import shown_progress
from search.confirm import latest_run
from search.curve_points import Axes, CurveFolder, CurvePoint, table
from search.files import write_whole
from search.folder import stored_settings
from search.judges import RunJudge
from search.ranking import best_first
from search.record import read_history
from search.settings import SearchSettings
from search.trial import TrialSettings, job_folder
from space.plain import InputError, from_plain, to_plain
from training.drawing import draw_samples
from training.model import choose_device, read_description
from training.painters import OURS, DrawSettings, identity
from training.sample_folder import read_manifest

INTRO = """
Draw a model's samples at several guidance scales or with several numbers of sampling steps, score each set
as the trials of a run were scored, and write points.json, curves.csv, curves.md and the pictures. Points that
are there already are not drawn again; those of another model (model=, trial=) join those of the first.
"""
EXAMPLES = (
    "python -m search.sampling_curves guidance=1,1.5,2,3,5,8              the best trial of the latest run",
    "python -m search.sampling_curves run=runs/lite trial=3 steps=1,2,4,8,16",
    "python -m search.sampling_curves run=runs/lite model=trained/longer guidance=1,2,3 steps=6,50 workers=2",
)
LISTED = re.compile(r"(guidance|steps)=([^\[\]]*\d)")  # 1,2,3 without brackets, which mean a sweep to Hydra


@dataclass(frozen=True)
class CurvesCommand:
    """The fields of conf/sampling_curves.yaml."""

    run: str | None = None
    runs_folder: str = "runs"
    trial: int | None = None
    model: str | None = None
    guidance: tuple[float, ...] | None = None
    steps: tuple[int, ...] | None = None
    sampler: str = "ddim"
    seed: int | None = None
    out: str | None = None
    workers: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    keep_samples: bool = False

    def __post_init__(self) -> None:
        for name in ("guidance", "steps"):
            values = getattr(self, name)
            if values is not None and (not values or len(set(values)) < len(values)):
                raise InputError(f"{name}: {list(values)} is not possible; allowed: different values")
        if len(self.guidance or ()) < 2 and len(self.steps or ()) < 2:
            raise InputError("guidance, steps: nothing varies; write guidance=1,2,3,5 or steps=1,2,4,8")
        if self.model is not None and self.trial is not None:
            raise InputError(f"trial: {self.trial} beside model: {self.model!r}; allowed: one of the two")


def draw_curves(command: CurvesCommand, console: Console) -> CurveFolder:
    """Measure the points that are missing, one after the other, each kept as soon as it is scored.

    Raises:
        InputError: no such run, trial or model, settings that do not fit it, or an out of other points.
    """
    run = Path(command.run) if command.run else latest_run(Path(command.runs_folder).expanduser())
    settings = stored_settings(run)
    judge = RunJudge(run, settings)
    name, model = _model(command, run, settings)
    drawings = list(_drawings(command, settings, judge, model))
    shared = Axes(judge.protocol_id, str(judge), judge.fid, judge.clip, judge.interval, _shared(drawings[0]))
    folder = CurveFolder(Path(command.out) if command.out else run / "curves", shared)
    digest = identity(model)["digest"]
    for number, drawing in enumerate(drawings, start=1):
        if folder.has((digest, drawing.guidance, drawing.steps)):
            continue
        label = f"{name}, guidance {drawing.guidance:g}, {drawing.steps} steps ({number} of {len(drawings)})"
        samples_path = folder.path / "samples" / f"{digest}-guidance{drawing.guidance:g}-steps{drawing.steps}"
        with shown_progress(console, label) as on_drawn:
            samples = draw_samples(
                model,
                judge.captions,
                drawing,
                samples_path,
                workers=command.workers,
                device=command.device,
                on_drawn=on_drawn,
            )
        made = read_manifest(samples_path)
        scores = dict(judge.score(samples))
        folder.add(CurvePoint(name, digest, drawing.guidance, drawing.steps, scores, made))
        if not command.keep_samples:
            shutil.rmtree(samples_path)
    return folder


def _model(command: CurvesCommand, run: Path, settings: SearchSettings) -> tuple[str, Path]:
    """What people call it, and its folder."""
    if command.model is not None:
        return Path(command.model).name, Path(command.model)
    trials = read_history(run).trials
    if command.trial is None:
        best = best_first(trials, settings.objectives)
        if not best:
            raise InputError(f"trial: {run} has no complete trial; name one, or a model=")
        number = best[0].number
    else:
        number = command.trial
        if number not in [trial.number for trial in trials]:
            raise InputError(f"trial: {run} has no trial {number}; allowed: 0 to {len(trials) - 1}")
    return f"trial {number}", job_folder(run, str(number))


def _drawings(
    command: CurvesCommand, settings: SearchSettings, judge: RunJudge, model: Path
) -> Iterator[DrawSettings]:
    """How each point is drawn: as the run's trials are, but for guidance and steps."""
    scales, steps = command.guidance, command.steps
    if scales is None or steps is None:
        if not (model / OURS).is_file():
            missing = "guidance" if scales is None else "steps"
            raise InputError(f"{missing}: missing; {model} says none of its own")
        _, own = read_description(model)
        scales, steps = scales or (own.guidance,), steps or (own.sampling_steps,)
    bf16 = settings.training.is_bf16_on(choose_device(command.device))
    for guidance in scales:
        for number in steps:
            yield DrawSettings(
                count=len(judge.captions),
                image_size_px=judge.image_size_px,
                steps=number,
                guidance=guidance,
                sampler=command.sampler,
                seed=settings.seed if command.seed is None else command.seed,
                batch_size=TrialSettings.drawing_batch,
                precision="bf16" if bf16 else "fp32",
                threads=settings.cluster.threads_per_worker,
            )


def _shared(drawing: DrawSettings) -> dict[str, object]:
    return {name: value for name, value in to_plain(drawing).items() if name not in ("guidance", "steps")}


# ---------------------------------------------------------------------- what is written


def write(folder: CurveFolder, words: list[str]) -> list[Path]:
    """Tables and pictures of all points of the folder; their paths."""
    from search.curve_pictures import guidance_picture, steps_picture  # matplotlib takes a second to import

    pictures = [
        path
        for draw, path in (
            (guidance_picture, folder.path / "guidance.png"),
            (steps_picture, folder.path / "steps.png"),
        )
        if draw(folder.points, folder.axes, path)
    ]
    text = _markdown(folder, pictures, words)
    return [
        write_whole(folder.path / "curves.csv", table(folder.points, folder.axes, "csv")),
        write_whole(folder.path / "curves.md", text),
        *pictures,
    ]


def _markdown(folder: CurveFolder, pictures: list[Path], words: list[str]) -> str:
    axes = folder.axes
    parts = [
        "# Curves",
        *(f"![{picture.stem}]({picture.name})" for picture in pictures),
        table(folder.points, axes, "markdown").strip(),
        f"{axes.line()}.",
        f"```yaml\n{axes.protocol.strip()}\n```",
        f"Last written on {date.today()} by `python -m search.sampling_curves {shlex.join(words)}`.",
    ]
    return "\n\n".join(parts) + "\n"


def main(words: list[str]) -> int:
    if any(word in ("-h", "--help") for word in words):
        print(help_text("sampling_curves", INTRO, EXAMPLES))
        return 0
    listed = [LISTED.sub(r"\1=[\2]", word) if LISTED.fullmatch(word) else word for word in words]
    folder = draw_curves(from_plain(CurvesCommand, compose("sampling_curves", listed)), Console())
    print(table(folder.points, folder.axes, "table") + f"\n{folder.axes.line()}\n")
    for path in write(folder, words):
        print(path)
    return 0


if __name__ == "__main__":
    run_door(main)
