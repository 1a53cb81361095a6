"""What a plan says before anything starts, against figures by hand; and the paper's own configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mdsearch.api import settings_of
from mdsearch.commands.search import main
from search import checks
from search.expected_time import paced, trial_seconds
from search.plan import search_plan
from search.settings import SearchSettings
from space.shared.plain import InputError
from training import plan as of_training
from training.memory import TrainingMemory
from training.plan import WorkPlan


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is trained here."""
    monkeypatch.setattr(of_training, "available_bytes", lambda device: 10**6)
    monkeypatch.setattr(of_training, "training_memory", lambda *network: TrainingMemory(8 * 10**9, 10**9))


def settings(*words: str) -> SearchSettings:
    return settings_of(words)[0]


PAPER = ("experiment=paper_md", "dry_run=true", "weights.download=false")


def test_pace_by_hand() -> None:
    """4,096 images by 32 accelerators of 100 a second; an image takes 2 x 50 passes, each a third of a step,
    by all of them, and validation by one."""
    given = settings(*PAPER, "throughput=100")
    pace = paced(given, given.throughput or 0)
    assert pace.step == pytest.approx(4096 / 100 / 32)
    assert pace.rung == pytest.approx((30_000 * 100 / 32 + 4096) / 300)
    assert trial_seconds(given, pace) == pytest.approx(30_000 * 1.28 + 3 * 326.153, rel=1e-6)
    guided = settings(*PAPER, "training.guidance=1", "cluster.workers_per_trial=1")
    assert paced(guided, 100).rung == pytest.approx((30_000 * 50 + 4096) / 300)


def test_the_papers_search_is_planned_on_any_machine(
    no_memory: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that it reads is missing here: each is refused in a line, and the plan is there."""
    monkeypatch.chdir(tmp_path)
    assert main([*PAPER, f"weights.cache_folder={tmp_path}", "format=json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    refused = plan["refused"]
    folders = ["data.folder: ", "latents.folder: ", "text.folder: "]
    begin = [*folders, "", "scoring.captions: ", "scoring.reference: "]
    assert all(line.startswith(start) for line, start in zip(refused, begin, strict=True))
    assert "inception-v3: put" in refused[3]
    assert not any("\n" in line for line in refused)
    assert (plan["candidates"], plan["steps"], plan["images"]) == (99, 99 * 30_000, 99 * 30_000 * 4096)
    assert (plan["trials_at_once"], plan["accelerators"]) == (16, 512)
    assert plan["throughput"] == {"images_per_second": 267, "source": "stated"} and plan["rehearsed"] is None
    a_trial = 30_000 * 4096 / 267 / 32 + 3 * (30_000 * 100 / 32 + 4096) / 267 / 3
    assert plan["accelerator_hours"] == pytest.approx(99 * a_trial * 32 / 3600)
    assert plan["seconds"] == pytest.approx(7 * a_trial)  # 99 trials, 16 at a time
    an_image = 2 * (8 * 32 * 32 + 77 * 768)
    assert plan["disk_bytes"]["latents"] == 150_000_000 * an_image
    said = "\n".join(line["said"] for line in plan["lines"])
    assert "4 h 0 min" not in said and "99 by grid" in said and "30000 images" in said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_pace_is_said(no_memory: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "parts_of_scoring", lambda settings: [])
    plan = search_plan(settings(*PAPER, "throughput=null"))
    assert "accelerator_hours" not in plan.figures and len(plan.refused) == 3
    assert any(label == "time" and "throughput=..." in line for label, line in plan.lines)


def test_the_smaller_budget_has_fewer_networks() -> None:
    lite = settings("experiment=paper_md_lite")
    assert lite.trials == 43 and lite.budget.gmacs == 156
    assert lite.training.latents.folder == "paper/vae" and lite.rungs[-1] == 30_000


@pytest.mark.parametrize(("experiment", "trials"), [("paper_md", 99), ("paper_md_lite", 43)])
def test_nothing_leads_to_a_network(experiment: str, trials: int) -> None:
    """Every network of the space that fits is tried, in an order that the seed shuffles."""
    given = settings(f"experiment={experiment}")
    values = [values for _, values in given.space.choices() if len(values) > 1]
    assert [len(each) for each in values] == [9, 4, 4]
    fitting = sum(
        not given.budget.excess(given.space.architecture(dict(zip(names, chosen, strict=True))))
        for names, chosen in _combinations(given)
    )
    assert fitting == trials == given.trials
    assert (given.enqueue, given.recorded, given.prior, given.sampler.name) == ((), False, (), "grid")


def _combinations(given: SearchSettings) -> list[tuple[list[str], tuple[Any, ...]]]:
    from itertools import product

    choices = list(given.space.choices())
    names = [name for name, _ in choices]
    return [(names, chosen) for chosen in product(*(values for _, values in choices))]


def test_a_plan_of_a_search_that_fits_here_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.plan.SAMPLES_PRICED", 50)
    monkeypatch.setattr("search.plan.training_memory", lambda *network: TrainingMemory(10**6, 10**6))
    few = ("data.scenes=64", "training.batch_size=2", "evaluators.images=4", "training.validation_images=4")
    few += ("recorded=false", "confirmation=none")
    given = settings(*few, "dry_run=true", f"runs_folder={tmp_path}", "training.sampling_steps=1")
    plan = search_plan(given)
    assert plan.refused == []
    assert plan.figures["throughput"]["source"].startswith("measured here")
    assert plan.figures["images"] == 12 * 500 * 2
    text = plan.text()
    for label in ("space", "budget", "trials", "images", "scores", "proxy", "time", "hours", "disk"):
        assert f"\n{label} " in f"\n{text}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("throughput=0",), "throughput: 0 is not possible; allowed: above 0, or null"),
        (("expected_images=0",), "expected_images: 0 is not possible"),
        (("format=json",), "format: 'json' is of a plan"),
    ],
)
def test_figures_that_cannot_be_are_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as caught:
        settings(*words)
    assert said in str(caught.value)


def test_a_plan_is_text_and_json() -> None:
    plan = WorkPlan(figures={"steps": 3}, refused=["data.folder: none"])
    plan.add("time", ["1 h", "2 h"])
    assert plan.text().splitlines() == ["refused    data.folder: none", "time       1 h", "time       2 h"]
    said = [{"of": "time", "said": "1 h"}, {"of": "time", "said": "2 h"}]
    assert json.loads(plan.to_json()) == {"refused": ["data.folder: none"], "steps": 3, "lines": said}
