"""`mdsearch generate curves`: FID against CLIP score over guidance, and both over sampling steps."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from analysis.sampling_curves.contexts import SamplingContext, of_protocol, of_run
from analysis.sampling_curves.points import (
    Curves,
    check_joins,
    curves_table,
    has_scores,
    point_folder,
    read_curves,
)
from conf.compose import compose
from conf.words import as_entries, as_lists, as_text
from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.run import PARTS, check_request, score_images
from mdsearch.progress import shown_progress
from search.confirmation.leading import trial_folder
from search.runs.folder import latest_run, stored_settings
from space.shared.command_lines import typed_line
from space.shared.console import command_console
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain
from training.generation.generators import check_settings
from training.generation.samples import generate_samples, manifest_of
from training.generation.settings import GenerationSettings

CURVES_TEXTS = ("model", "run", "captions", "reference", "out", "name")
SAMPLES = "samples"


@dataclass(frozen=True)
class CurvesCommand:
    """The fields of conf/generate_curves.yaml."""

    evaluators: dict[str, Any]
    model: str | None = None
    run: str | None = None
    runs_folder: str = "runs"
    trial: int | None = None
    name: str | None = None
    guidance: tuple[float, ...] | None = None
    steps: tuple[int, ...] | None = None
    captions: str | None = None
    reference: str | None = None
    scheduler: str | None = None
    seed: int | None = None
    image_size_px: int | None = None
    batch_size: int | None = None
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    fid: str | None = None
    clip: str | None = None
    out: str | None = None
    workers: int = 1
    keep_samples: bool = False
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    weights: WeightsSettings = field(default_factory=WeightsSettings)

    def __post_init__(self) -> None:
        for name in ("guidance", "steps"):
            values = getattr(self, name)
            if values is not None and (not values or len(set(values)) < len(values)):
                raise InputError(f"{name}: {list(values)} is not possible; allowed: different values")
        if len(self.guidance or ()) < 2 and len(self.steps or ()) < 2:
            raise InputError("guidance, steps: nothing varies; write guidance=1,2,3,5 or steps=1,2,4,8")
        if self.model is not None and self.trial is not None:
            raise InputError(f"trial: {self.trial} beside model: {self.model!r}; allowed: one of the two")
        if self.name is not None and ("/" in self.name or self.name in ("", ".", "..")):
            raise InputError(f"name: {self.name!r} is no name of a folder")

    def generation(self) -> dict[str, Any]:
        """What is said of it; the first of several values, the others follow point by point."""
        names = ("seed", "image_size_px", "batch_size", "precision")
        first = {name: (getattr(self, name) or (None,))[0] for name in ("guidance", "steps")}
        return {name: getattr(self, name) for name in names} | first | {"sampler": self.scheduler}


@dataclass(frozen=True)
class _Plan:
    """What is to be measured, and where the points are kept."""

    name: str
    model: Path
    out: Path
    context: SamplingContext
    points: tuple[GenerationSettings, ...]


def measure_curves(command: CurvesCommand, console: Console) -> Curves:
    """Measure the points that are missing, one after the other, each kept as soon as it is scored.

    Raises:
        InputError: no such run, trial or model, settings that do not fit it, points in `out` that do not
            compare with these, or what the scores need is missing. Found before anything is generated.
    """
    plan = _plan(command)
    for point in plan.points:
        check_settings(plan.model, point)
    captions, device = plan.context.captions, command.compute.device
    check_joins(plan.out, manifest_of(plan.model, captions, plan.context.generation, device))
    missing = [
        point
        for point in plan.points
        if not has_scores(_folder(plan, point), manifest_of(plan.model, captions, point, device))
    ]
    if missing:
        side = plan.context.generation.image_size_px
        check_request(plan.context.request, len(captions), side, partial(shown_progress, console))
    for number, point in enumerate(missing, start=1):
        _measure(plan, point, command, console, f"({number} of {len(missing)})")
    return read_curves(plan.out, command.fid, command.clip)


def _plan(command: CurvesCommand) -> _Plan:
    wanted, how = command.generation(), (command.compute, command.weights)
    if "features" in command.evaluators:  # a protocol of its own; else that of a run
        if command.model is None:
            raise InputError("model: missing; with a protocol of its own, the folder of what generates")
        model = Path(command.model)
        context = of_protocol(command.evaluators, command.captions, command.reference, model, wanted, *how)
        out = Path("curves") / command.evaluators["name"]
    else:
        run = Path(command.run) if command.run else latest_run(Path(command.runs_folder).expanduser())
        settings = stored_settings(run)
        model = trial_folder(run, command.trial) if command.model is None else Path(command.model)
        context, out = of_run(run, settings, model, wanted, *how), run / "curves"
    first = context.generation
    values = product(command.guidance or (first.guidance,), command.steps or (first.steps,))
    points = tuple(replace(first, guidance=guidance, steps=steps) for guidance, steps in values)
    name = command.name or (f"trial-{model.name}" if command.model is None else model.resolve().name)
    return _Plan(name, model, Path(command.out) if command.out else out, context, points)


def _folder(plan: _Plan, point: GenerationSettings) -> Path:
    return point_folder(plan.out, plan.name, point.guidance, point.steps)


def _measure(
    plan: _Plan, point: GenerationSettings, command: CurvesCommand, console: Console, which: str
) -> None:
    folder = _folder(plan, point)
    label = f"{plan.name}, guidance {point.guidance:g}, {point.steps} steps {which}"
    with shown_progress(console, label) as on_generated:
        generate_samples(
            plan.model,
            plan.context.captions,
            point,
            folder / SAMPLES,
            workers=command.workers,
            device=command.compute.device,
            on_generated=on_generated,
        )
    request = replace(plan.context.request, images=str(folder / SAMPLES), out=str(folder))
    score_images(request, partial(shown_progress, console))
    if not command.keep_samples:
        for done in (SAMPLES, PARTS):
            shutil.rmtree(folder / done)


# ---------------------------------------------------------------------- what is written


def write(curves: Curves, words: Iterable[str]) -> list[Path]:
    """Tables and plots of all points of the folder; their paths."""
    from analysis.sampling_curves.plots import plot_guidance, plot_steps

    out = curves.folder
    plots = [
        path
        for plot, path in (
            (plot_guidance, out / "guidance.png"),
            (plot_steps, out / "steps.png"),
        )
        if plot(curves, path)
    ]
    parts = [
        "# Curves",
        *(f"![{plot.stem}]({plot.name})" for plot in plots),
        curves_table(curves, "markdown").strip(),
        f"```\n{curves.protocol}\n```",
        f"Written on {date.today()} by `{typed_line('generate curves', words)}`.",
    ]
    return [
        write_whole(out / "curves.csv", curves_table(curves, "csv")),
        write_whole(out / "curves.md", "\n\n".join(parts) + "\n"),
        *plots,
    ]


def main(words: list[str]) -> int:
    listed = as_lists(words, ["guidance", "steps"])
    meant = as_entries(as_text(listed, CURVES_TEXTS), "weights.files")
    command = from_plain(CurvesCommand, compose("generate_curves", meant))
    curves = measure_curves(command, command_console())
    print(f"{curves_table(curves, 'table')}\n{curves.protocol}\n")
    for path in write(curves, words):
        print(path)
    return 0
