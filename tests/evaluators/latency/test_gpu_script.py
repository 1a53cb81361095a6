"""The script for a GPU, by made times of made-up devices: what it measures, leaves out and goes on with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import gpu_latency
from benchmarks.lab import in_folder, run_as_command
from evaluators.latency import runtimes
from space.budget import Budget
from tests.evaluators.latency.test_lists import SPACE, made_runtime

WORDS = ("device=cpu", "precision=fp32", "list=eager", "narrower=16", "check=5", "rounds=2", "seconds=0.001")


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each whole network that was timed has its weights, and its images, channels last."""
    seen: list[bool] = []

    def made(module: Any, inputs: Any, *more: Any) -> Any:
        if (
            hasattr(module, "unet")
            and inputs[0]["sample"].shape[1] == 8
            and module.unet.conv_in.weight.shape[0] == 20
        ):
            both = (module.unet.conv_in.weight, inputs[0]["sample"])
            assert len({_channels_last(x) for x in both}) == 1
            seen.append(_channels_last(both[0]))
        return made_runtime(module, inputs, *more)

    for name in ("eager", "compiled"):
        monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), name, made)
    monkeypatch.delitem(cast(Any, gpu_latency.NETWORKS), "SDXL")  # the slowest to make
    monkeypatch.setattr(gpu_latency, "paper_space", lambda narrower: (SPACE, Budget()))
    return seen


def _channels_last(x: Any) -> bool:
    return bool(x.stride(1) == 1)


def test_all_of_it_by_made_times(
    tmp_path: Path, layouts: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sums of the made times are exact; MD as it is and channels last, eager and compiled."""
    assert gpu_latency.main([str(tmp_path), *WORDS]) == 0
    text = capsys.readouterr().out
    assert "by 6 whole networks" in text and "the sum times 1.100 and 3.0 ms" in text
    assert "5 networks never measured for the list: error median 0.0%" in text
    assert "rank correlation 1.000" in text and "measured again they differ by 0.0%" in text
    assert layouts == [False, True, False, True]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["| MD", "| SD-1.5"]
    assert all(len(row) == 6 and "not measured" not in " ".join(row) for row in rows)
    assert gpu_latency.main([str(tmp_path), *WORDS]) == 0
    assert len(layouts) == 4  # all was there


def test_what_would_not_end_in_time_is_not_begun(
    tmp_path: Path,
    layouts: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A first compilation that is thought to take a day."""
    monkeypatch.setattr(gpu_latency, "FIRST_COMPILATION", 86_400.0)
    assert gpu_latency.main([str(tmp_path), *WORDS]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| MD")]
    assert rows[0].count("not measured: no time") == 2 and layouts == [False, True]


def test_neither_is_a_list_that_leaves_no_time(
    tmp_path: Path, layouts: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu_latency.main([str(tmp_path), *WORDS, "minutes=0"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"no time for more of the list and its check: 0 of \d+; the same words go on", text)
    assert layouts == [] and text.count("not measured: no time") == 8
    assert not (tmp_path / "prices.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "FOLDER: none is named"),
        (["out", "device=tpu"], "device: 'tpu'"),
        (["out", "device=cpu", "list=tflite"], "tflite"),
        (["out", "now"], "now: is no word of this benchmark"),
        (["out", "rounds"], "rounds: has no value; allowed: rounds=..."),
        (["out", "device=cpu", "list=eager", "runtimes=tflite"], "tflite"),
        (["out", "narrower=0"], "narrower: 0 is not possible"),
        (["out", "minutes=nan"], "minutes: nan is no time"),
    ],
)
def test_bad_words_are_one_line_and_status_2(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu_latency", *words])
    with pytest.raises(SystemExit) as ended:
        run_as_command(gpu_latency.main, "about")
    assert ended.value.code == 2 and not list(tmp_path.iterdir())
    error = capsys.readouterr().err
    assert error.startswith("error: ") and told in error and error.count("\n") == 1


def test_the_papers_space_narrowed_is_a_space() -> None:
    space, budget = gpu_latency.paper_space(16)
    assert dict(space.choices())["level_3.channels"] == tuple(range(48, 84, 4))
    assert (space.first.latent_size, space.first.heads, budget.bounds()) == (8, 2, {})
    full, paper = gpu_latency.paper_space(1)
    assert full.first.latent_size == 64 and paper.gmacs == 200
    with pytest.raises(Exception, match=r"minuets: is no word of this benchmark; did you mean 'minutes'"):
        in_folder(gpu_latency.Chosen, ["out", "minuets=3"])
