"""What a long training would take, against figures by hand; and the paper's own configuration of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdsearch.commands.train import main
from mdsearch.train_command import command_of
from mdsearch.train_plan import in_days, train_plan
from space.shared.plain import InputError
from training import plan as of_training
from training.data.scenes import ScenesSettings
from training.memory import TrainingMemory

TINY = ("data.scenes=64", "training.batch_size=4", "training.validation_images=3", "training.device=cpu")


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is trained here."""
    monkeypatch.setattr(of_training, "available_bytes", lambda device: 10**6)
    monkeypatch.setattr(of_training, "training_memory", lambda *network: TrainingMemory(8 * 10**9, 10**9))


@pytest.mark.parametrize("word", ["recipe=paper_md", "experiment=paper_md"])
def test_the_papers_training_is_planned_on_any_machine(
    word: str,
    no_memory: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([word, "dry_run=true", "format=json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert [line.partition(":")[0] for line in plan["refused"]] == [
        "data.folder", "latents.folder", "text.folder", "data.folder",
    ]  # fmt: skip
    assert "latents-256px" in plan["refused"][0] and "latents-512px" in plan["refused"][3]
    parameters = 387_376_712
    assert plan["parameters"] == parameters and plan["rehearsed"] is None
    first, second = plan["stages"]
    assert (first["steps"], first["batch_size"], first["image_size_px"]) == (750_000, 4096, 256)
    assert (second["steps"], second["batch_size"], second["image_size_px"]) == (250_000, 2048, 512)
    assert plan["images"] == 750_000 * 4096 + 250_000 * 2048
    assert first["epochs"] == pytest.approx(750_000 * 4096 / 150e6)
    looked_at = 25 * (4096 + 64 * 100) / 3  # 25 states in the second stage, by one accelerator
    assert second["seconds"] == pytest.approx(250_000 * 2048 / 68 / 32 + looked_at / 68)
    assert plan["accelerator_hours"] == pytest.approx(plan["seconds"] * 32 / 3600)
    assert plan["disk_bytes"]["training"] == parameters * (4 * 16 + 4)  # 2 + 1 + 1 states, weights
    assert plan["disk_bytes"]["latents"] == 150_000_000 * 134_656 + 40_000_000 * 183_808
    said = "\n".join(line["said"] for line in plan["lines"])
    assert "on a GPU 72 GB for the 64 images that each takes at once" in said  # 2,048 by 32: 8 and 64 GB
    assert list(tmp_path.iterdir()) == []


def test_md_lite_is_trained_alike() -> None:
    command, _ = command_of(["recipe=paper_md_lite"])
    assert [level.channels for level in command.arch.levels] == [320, 640, 896]
    assert [stage.until for stage in command.all_stages()] == [750_000, 1_000_000]
    training = command.training
    assert (training.learning_rate, training.betas, training.weight_decay) == (1e-3, (0.9, 0.999), 0.01)
    assert [stage.data.image_size_px for stage in command.all_stages()] == [256, 512]


def test_a_plan_runs_two_steps_and_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two stages of tiny networks; what the second takes follows from its MACs."""
    stages = "stages=[{image_size_px: 16, steps: 6}, {image_size_px: 24, steps: 2, batch_size: 2}]"
    words = [*TINY, "dry_run=true", stages, f"out={tmp_path / 'never'}", "state_every_steps=2", "images=2"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "two steps of 4 images ran here" in told.out and "measured here on one cpu" in told.out
    assert "16 px, 6 steps of 4: 24 images, 0.5 times each of 48" in told.out
    assert not (tmp_path / "never").exists()


def test_what_does_not_fit_is_a_line(no_memory: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "dry_run=true", "proxy.latent_channels=12", "init_from=nowhere"]) == 1
    lines = capsys.readouterr().out.splitlines()
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 2 and "needed: proxy.latent_channels=14" in refused[0] and "nowhere" in refused[1]
    assert any(line.startswith("time") and "throughput=..." in line for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("parallel=fsdp", "training.ema_lengths=[0.05,0.1]"), "training.ema_lengths: (0.05, 0.1) is not"),
        (("accelerators=5",), "workers: 5 share batches of 4 images (batch_size); allowed: at most 4"),
    ],
)
def test_what_so_many_cannot_train_together_is_a_line(
    words: tuple[str, ...], said: str, no_memory: None
) -> None:
    command, _ = command_of([*TINY, "dry_run=true", "workers=2", *words])
    (line,) = train_plan(command).refused
    assert line.startswith(said)


def test_what_changes_nothing_is_said() -> None:
    command, _ = command_of([*TINY, "parallel=fsdp", "training.steps=9", "training.warmup_steps=10"])
    warm, parallel = command.idle()
    assert warm.startswith("training.warmup_steps=10 of 9 steps") and parallel.startswith(
        "parallel=fsdp has no"
    )
    assert command_of([*TINY, "parallel=fsdp", "workers=2"])[0].idle() == []


def test_averages_kept_for_later_take_disk(no_memory: None) -> None:
    words = [*TINY, "dry_run=true", "training.steps=400", "training.ema_lengths=[0.05,0.1]"]
    command, _ = command_of(words)
    plan = train_plan(command)
    parameters = plan.figures["parameters"]
    # three states of 16 + 2 x 4 bytes, the weights, and two averages of two states
    assert plan.figures["disk_bytes"]["training"] == parameters * (3 * 24 + 4 + 2 * 2 * 4)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("format=json", "format: 'json' is of a plan"),
        ("accelerators=0", "accelerators: 0"),
        (
            "expected_images=[1,2]",
            "expected_images: 2 of them; allowed: none, one, or one for each of 1 st",
        ),
    ],
)
def test_figures_that_cannot_be_are_refused(word: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        command_of([word])
    assert said in str(caught.value)


def test_times_are_in_the_unit_that_suits() -> None:
    assert [in_days(seconds) for seconds in (5, 300, 11520, 599_616, 86_400 * 2000)] == [
        "5.0 s", "5 min", "3.2 h", "6.94 days", "2,000 days",
    ]  # fmt: skip


def test_images_of_a_size_that_does_not_fit_are_never_made(
    no_memory: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(self: ScenesSettings) -> None:
        raise AssertionError("images are rendered")

    monkeypatch.setattr(ScenesSettings, "load", load)
    assert main(["data.image_size_px=40", "dry_run=true"]) == 1
    assert "needed: data.image_size_px=24, or proxy.latent_size=20" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"needed: data\.image_size_px=24"):
        main(["data.image_size_px=40"])
