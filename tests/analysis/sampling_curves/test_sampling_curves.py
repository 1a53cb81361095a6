"""Curves over guidance and steps: of a real, tiny run, with real generation and scoring."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mdsearch.commands.generate_curves as curves
from analysis.sampling_curves.plots import plot_guidance, plot_steps
from analysis.sampling_curves.points import Curves, read_curves
from conf.compose import compose
from evaluators.networks.weights import WeightsSettings
from search.run import execute
from search.runs.record import read_history
from search.settings import settings_from_plain
from space.shared.plain import InputError
from training.generation.samples import generate_samples
from training.model import load_model

TINY = (
    "trials=1", "rungs=[3]", "enqueue=[md_lite]", "backend=inline", "stopping=none", "confirmation=none",
    "data.scenes=192", "evaluators.images=60", "evaluators.reference_images=64", "evaluators.clip.steps=5",
    "evaluators.clip.train_images=64", "training.batch_size=2", "training.sampling_steps=2",
    "training.validation_images=2", "training.device=cpu", "training.guidance=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A search of one trial; its own guidance is 2, its own steps are 2."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    words = [*TINY, "name=tiny", f"runs_folder={folder}", f"cache_folder={folder / 'cache'}"]
    yield execute(settings_from_plain(compose("search", words)), words).folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured(run: Path) -> Curves:
    """Three guidance scales, then three numbers of steps, in the run's own folder."""
    assert curves.main([f"run={run}", "guidance=1,2,4"]) == 0
    assert curves.main([f"run={run}", "trial=0", "steps=[1,2,4]"]) == 0
    return read_curves(run / "curves", None, None)


def at(curves: Curves) -> list[tuple[str, float, int]]:
    return [(point.model, point.guidance, point.steps) for point in curves.points]


def test_each_point_is_there_once_and_the_runs_own_has_the_scores_of_its_record(
    run: Path, measured: Curves
) -> None:
    assert at(measured) == [
        ("trial-0", 2, 1), ("trial-0", 1, 2), ("trial-0", 2, 2), ("trial-0", 4, 2), ("trial-0", 2, 4),
    ]  # fmt: skip
    recorded = read_history(run).trials[0].rungs[-1].scores
    own = measured.points[2].scores
    assert {"fid_embedded_clip", "clip_embedded", "fid_random_conv"} <= set(own)
    for name, score in own.items():
        assert score.value == pytest.approx(recorded[name], rel=1e-6)
        assert score.interval is not None and score.interval.low <= score.value <= score.interval.high
    assert len({point.scores[measured.fid].value for point in measured.points}) == 5
    assert (measured.fid, measured.clip) == ("fid_embedded_clip", "clip_embedded")


def test_what_is_written_tells_points_protocol_and_command(run: Path, measured: Curves) -> None:
    folder = run / "curves"
    rows = list(csv.DictReader((folder / "curves.csv").open()))
    assert [float(row["fid_embedded_clip"]) for row in rows] == [
        point.scores["fid_embedded_clip"].value for point in measured.points
    ]
    assert float(rows[0]["clip_embedded_low"]) == measured.points[0].scores["clip_embedded"].interval.low  # type: ignore[union-attr]
    page = (folder / "curves.md").read_text()
    assert "protocol embedded" in page and "steps=[1,2,4]" in page and "![steps](steps.png)" in page
    assert "guidance" not in str(measured.protocol)  # it varies, and is no part of what is shared
    for name in ("guidance.png", "steps.png"):
        assert min(Image.open(folder / name).size) > 400
    # Samples and what was measured of them are not kept, the scores with their protocol are.
    assert {path.name for path in (folder / "trial-0" / "guidance2-steps4").iterdir()} == {
        "job.json", "scores.json",
    }  # fmt: skip


def test_points_that_are_there_are_not_measured_again(
    run: Path, measured: Curves, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generated_points: list[tuple[float, int]] = []

    def generating(model: Path, captions: list[str], settings: Any, *rest: Any, **named: Any) -> Any:
        generated_points.append((settings.guidance, settings.steps))
        return generate_samples(model, captions, settings, *rest, **named)

    monkeypatch.setattr(curves, "generate_samples", generating)
    out = run.parent / "kept"
    copy(run / "curves", out)
    assert curves.main([f"run={run}", f"out={out}", "guidance=1,2,4", "steps=2,3", "keep_samples=true"]) == 0
    assert generated_points == [(1.0, 3), (2.0, 3), (4.0, 3)]
    assert "trial-0         4      3" in capsys.readouterr().out
    assert len(list((out / "trial-0" / "guidance4-steps3" / "samples").glob("*.png"))) == 60


def test_an_interrupted_point_goes_on_with_the_images_that_it_has(
    run: Path, measured: Curves, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    out = run.parent / "interrupted"
    words = [f"run={run}", f"out={out}", "guidance=1,2"]
    monkeypatch.setattr(curves, "score_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        curves.main(words)
    monkeypatch.undo()
    image = out / "trial-0" / "guidance1-steps2" / "samples" / "000000.png"
    before = image.stat().st_mtime_ns
    assert curves.main([*words, "keep_samples=true"]) == 0
    assert image.stat().st_mtime_ns == before
    again = read_curves(out, None, None)
    assert [point.scores["clip_embedded"].value for point in again.points] == [
        point.scores["clip_embedded"].value for point in measured.points[1:3]
    ]


def test_another_model_joins_and_another_setting_does_not(
    run: Path, measured: Curves, tmp_path: Path
) -> None:
    out = run.parent / "joined"
    copy(run / "curves", out)
    model = load_model(run / "trials" / "0", "cpu")
    with torch.no_grad():
        next(model.unet.parameters()).add_(0.1)
    model.save(tmp_path / "other")
    words = [f"run={run}", f"out={out}", f"model={tmp_path / 'other'}", "guidance=1,2"]
    assert curves.main(words) == 0
    joined = read_curves(out, "fid_random_conv", None)
    assert at(joined)[:2] == [("other", 1, 2), ("other", 2, 2)] and len(joined.points) == 7
    assert joined.fid == "fid_random_conv"
    with pytest.raises(InputError, match=r"another model .* name= or out="):
        curves.main([*words, "name=trial-0"])
    with pytest.raises(InputError, match=r"\(seed 0 .* 1 now\); .* out="):
        curves.main([*words, "name=reseeded", "seed=1"])
    assert not (out / "reseeded").exists()
    model.settings = replace(model.settings, one_step=True)
    model.save(tmp_path / "distilled")
    assert curves.main([*words[:2], f"model={tmp_path / 'distilled'}", "steps=1,2", "guidance=1"]) == 0
    beside = read_curves(out, None, None)
    assert at(beside)[:2] == [("distilled", 1, 1), ("distilled", 1, 2)] and len(beside.points) == 9
    assert beside.protocol.drawing.sampler == "ddim, onestep"
    with pytest.raises(InputError, match=r"^clip: .*'clip_embeded' .*'clip_embedded'"):
        curves.main([f"run={run}", "guidance=1,2,4", "clip=clip_embeded"])


def test_a_protocol_of_its_own_takes_captions_and_a_reference(
    run: Path, measured: Curves, tmp_path: Path
) -> None:
    """By networks that need no download; as coco30k does with Inception and open_clip."""
    model = run / "trials" / "0"
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a large red circle\na small blue cross on navy\n" * 5)
    reference = generate_samples(
        model, ["x"] * 12, replace(_settings(model), count=12, seed=9), tmp_path / "real", device="cpu"
    )
    preset = {
        "name": "mine", "samples": 8, "images": {"size_px": 24}, "metrics": ["fid", "clip"],
        "features": [{"network": "random-conv"}], "clips": [{"network": "embedded-clip"}],
        "reference": None, "captions": None, "drawing": {"steps": 3, "guidance": 1.5, "seed": 4},
    }  # fmt: skip
    weights = {"files": {"embedded-clip": str(run / "evaluator" / "embedded-clip")}}
    plain = compose("generate_curves", [f"model={model}", f"captions={prompts}", "guidance=[1,2]"])
    plain |= {"evaluators": preset, "weights": weights, "reference": str(reference.path)}
    plain |= {"out": str(tmp_path / "out"), "name": "net"}
    command = curves.from_plain(curves.CurvesCommand, plain)
    made = curves.measure_curves(command, curves.Console())
    assert at(made) == [("net", 1, 3), ("net", 2, 3)]
    protocol = made.protocol
    assert (protocol.samples, protocol.drawing.seed, protocol.drawing.sampler) == (8, 4, "ddim")
    assert protocol.reference is not None and protocol.reference.images == 12
    with pytest.raises(InputError, match=r"^captions: 10 in .* mine .* 11$"):
        curves.measure_curves(replace(command, evaluators=preset | {"samples": 11}), curves.Console())
    with pytest.raises(InputError, match="captions: missing; the protocol mine needs the prompts"):
        curves.measure_curves(replace(command, captions=None), curves.Console())
    with pytest.raises(InputError, match="model: missing; with a protocol of its own"):
        curves.measure_curves(replace(command, model=None), curves.Console())
    elsewhere = replace(command, out=str(tmp_path / "elsewhere"))
    for late, said in (  # found by the first scores, which must not be after hours of generation
        ({"reference": None}, "reference: missing"),
        ({"reference": str(tmp_path / "none")}, "reference: .* does not exist"),
        ({"weights": WeightsSettings()}, "weights are missing"),
    ):
        with pytest.raises(InputError, match=said):
            curves.measure_curves(replace(elsewhere, **late), curves.Console())
    assert not (tmp_path / "elsewhere").exists()


def _settings(model: Path) -> Any:
    from mdsearch.commands.generate_samples import SamplesCommand

    return SamplesCommand(str(model), "").settings(1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("guidance=2", "guidance, steps: nothing varies"),
        ("", "guidance, steps: nothing varies"),
        ("guidance=a,b", r"guidance\[0\]: expected a number, got 'a'"),
        ("steps=1,2.5", r"steps\[1\]: expected a whole number, got 2\.5"),
        ("guidance=1,1", r"guidance: \[1\.0, 1\.0\] is not possible; allowed: different values"),
        ("guidance=0,1", r"guidance: 0 is not possible; allowed: 1 or more"),
        ("steps=0,1", "steps: 0 is not possible"),
        ("steps=2,2000", "steps: 2000 is not possible; allowed: at most 1000"),
        ("steps=1,2 trial=7", "trial: .* has no trial 7; allowed: 0 to 0"),
        ("steps=1,2 trial=0 model=x", "trial: 0 beside model: 'x'"),
        ("steps=1,2 model=x", "model: 'x' is no folder"),
        ("steps=1,2 name=a/b", "name: 'a/b' is no name of a folder"),
        ("steps=1,2 scheduler=euler", "scheduler: 'euler' is not possible; allowed: ddim"),
        ("steps=1,2 evaluators=coco30", "did you mean 'coco30k'"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(words: str, said: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        curves.main([f"run={run}", f"out={tmp_path / 'out'}", *words.split()])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_only_what_varies_is_plotted_and_a_score_may_lack_its_interval(
    measured: Curves, tmp_path: Path
) -> None:
    over_guidance = replace(measured, points=tuple(point for point in measured.points if point.steps == 2))
    assert plot_guidance(over_guidance, tmp_path / "guidance.png")
    assert not plot_steps(over_guidance, tmp_path / "steps.png")
    assert not (tmp_path / "steps.png").exists()
    bare = [
        replace(point, scores={name: replace(score, interval=None) for name, score in point.scores.items()})
        for point in measured.points
    ]
    assert plot_steps(replace(measured, points=tuple(bare)), tmp_path / "steps.png")
    assert (tmp_path / "steps.png").read_bytes() != (measured.folder / "steps.png").read_bytes()


def test_changed_scores_are_not_plotted(run: Path, measured: Curves) -> None:
    out = run.parent / "changed"
    copy(run / "curves", out)
    file = out / "trial-0" / "guidance2-steps2" / "scores.json"
    plain = json.loads(file.read_text())
    plain["scores"]["clip_embedded"]["protocol"]["samples"] = 61
    file.write_text(json.dumps(plain))
    with pytest.raises(InputError, match="cannot be read as scores"):
        curves.main([f"run={run}", f"out={out}", "guidance=1,2"])


def copy(source: Path, target: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file():
            (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / file.relative_to(source)).write_bytes(file.read_bytes())
