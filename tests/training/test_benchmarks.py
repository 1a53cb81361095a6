"""The benchmarks of a training step, on networks so small that their figures mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_one_step, gpu_training, reading, training_loop
from space.shared.plain import InputError
from training.rehearsal import Rehearsed

TINY = ("narrower=40", "size=8")
ON_CPU = ("device=cpu", "precision=fp32", "first=1", "most=1", "steps=1")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of a moment, no process for the memory, no compiler."""
    monkeypatch.setattr(training_loop, "SIDE", 64)
    monkeypatch.setattr(training_loop, "peak_bytes", lambda c, number: 2**20 * (1 + number))
    monkeypatch.setattr(gpu_training, "LAYOUTS", ("sd15",))
    monkeypatch.setattr(gpu_training, "matrix_product_gflops", lambda device, dtype: 1e3)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def test_both_networks_train_alike_and_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["layout=sd15", "memory_format=channels_last", "rounds=2", "steps=1", "batch=1", *TINY]
    assert training_loop.main(words) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    named = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert named["diffusers, sd15"][1] == "1" and "to" in named["ours, sd15"][1]
    assert (named["ours, sd15"][-1], named["diffusers, sd15"][-1]) == ("1", "2")


class Made:
    """A loop with these losses."""

    def __init__(self, *losses: float) -> None:
        self.losses = losses

    def train_to(self, step: int, on_step: Callable[[int, float], None]) -> None:
        for number, loss in enumerate(self.losses[:step], 1):
            on_step(number, loss)


def test_two_trainings_that_differ_are_not_compared() -> None:
    training_loop.check_equal_losses(Made(1.0, 2.0), Made(1.0, 2.001))  # type: ignore[arg-type]
    with pytest.raises(SystemExit, match="not the same training"):
        training_loop.check_equal_losses(Made(1.0, 2.0), Made(1.0, 2.1))  # type: ignore[arg-type]


def test_what_it_does_not_measure_is_refused() -> None:
    with pytest.raises(InputError, match="gpu_training"):
        training_loop.comparisons(["device=cuda"])


def test_the_script_for_a_gpu_writes_its_table_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu_training.main([str(tmp_path), *TINY, *ON_CPU]) == 0
    begun = (tmp_path / "training.jsonl").read_text()
    table = (tmp_path / "training.md").read_text()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["| ours, sd15", "| diffusers, sd15"]
    assert all(row[1] == "1" and "not measured" not in " ".join(row) for row in rows)
    assert float(ratio := rows[0][-1].rstrip("| ")) > 0 and rows[1][-1].startswith("-")
    (told,) = (line for line in table.splitlines() if line.startswith("ours"))
    assert told.startswith(f"ours, sd15: {ratio} times diffusers (aim: 1.2), ") and "(aim: 45%)" in told
    capsys.readouterr()
    assert gpu_training.main([str(tmp_path), *TINY, *ON_CPU]) == 0
    assert (tmp_path / "training.jsonl").read_text() == begun  # all was there


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    assert gpu_training.main([str(tmp_path), *TINY, *ON_CPU, "minutes=0"]) == 0
    table = (tmp_path / "training.md").read_text()
    assert table.count("| not measured") == 6 and "ours, sd15: not measured" in table
    with pytest.raises(InputError, match="minuets: is no word of this benchmark; did you mean 'minutes'"):
        gpu_training.main([str(tmp_path), "minuets=3"])


@pytest.mark.slow
def test_what_one_step_is_worth_on_a_gpu_is_rehearsed_on_a_cpu(tmp_path: Path) -> None:
    """Each objective takes its steps, and what the folder holds is not done again."""
    words = [str(tmp_path), "device=cpu", "precision=fp32", "batch=2", "size=small", "minutes=0.001"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_one_step, "LEAST_STEPS", 2)
        patch.setattr(gpu_one_step, "TIMED_STEPS", 1)
        assert gpu_one_step.main(words) == 0
    table = (tmp_path / "one_step.md").read_text()
    for name in (gpu_one_step.PLAIN, *gpu_one_step.OBJECTIVES):
        assert f"| {name} |" in table
    assert "- its single step: fid_embedded_clip " in table and "- after 2 steps: " in table


def test_a_batch_that_does_not_fit_is_not_measured_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    c = training_loop.comparisons(["layout=sd15", "memory_format=contiguous", *TINY])[0]
    one = training_loop.contenders(c)[0]

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(one.network, "forward", full)
    assert gpu_training.timed(one, c) is None


def test_memory_that_ends_ends_the_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of batches 1, 2, 4, 8; the last does not fit."""
    rates = {1: 10.0, 2: 19.0, 4: 30.0}
    monkeypatch.setattr(
        gpu_training,
        "timed",
        lambda one, c: {"batch": c.batch, "rate": rates[c.batch]} if c.batch in rates else None,
    )
    chosen = gpu_training.Chosen("", device="cpu", first=1)
    best = gpu_training.best_batch(None, chosen.comparison("md"), chosen)  # type: ignore[arg-type]
    assert best == {"batch": 4, "rate": 30.0}
    rates[4] = 19.1  # no faster
    assert gpu_training.best_batch(None, chosen.comparison("md"), chosen) == {"batch": 2, "rate": 19.0}  # type: ignore[arg-type]


def test_readers_are_timed_beside_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("SIZE_PX", 16), ("LATENTS", (8, 4, 4)), ("FEATURES", (3, 5)), ("BATCH", 4)):
        monkeypatch.setattr(reading, name, value)
    monkeypatch.setattr(reading, "seconds_per_step", lambda trainer: trainer.settings.batch_size / 40)
    monkeypatch.setattr(reading, "rehearse", lambda *_, images: Rehearsed("cpu", 1, images, 0.5, 1.0))
    assert reading.main(["images=24"]) == 0
    rates = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [rate.split()[1] for rate in rates] == ["images/s"] * 4
    read, latents, proxy, md = (float(rate.split()[0].replace(",", "")) for rate in rates)
    assert min(read, latents) > 0 and (proxy, md) == (40.0, 4.0)
