"""A report and a comparison where a cost, which has no noise, is among the scores that decide."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from analysis.comparison.runs import check_runs_comparable, objectives_of_all, read_runs
from analysis.report.sections.verdicts import difference_cells
from search.objectives import FID_AND_CLIP, Objective, objectives_to_plain, with_exact
from search.runs.prior import refuse_prior_of_others, take_prior
from search.runs.record import Record, read_history
from search.statistics.verdicts import Interval
from space.budget import LATENCY
from space.shared.plain import InputError
from tests.analysis.report.pages import body_of, words_of
from tests.search import histories
from tests.search.histories import write_history

OBJECTIVES = with_exact([*FID_AND_CLIP, Objective(LATENCY, "minimize", "log")])


def lists(digest: str) -> list[dict[str, str]]:
    return [{"file": "list.json", "list": "of a phone", "digest": digest, "note": ""}]


def timed(folder: Path, digest: str = "a", **changes: object) -> Path:
    """A run whose trials hold milliseconds, as those of a search by a price list do."""
    usual = histories.Record.append

    def append(record: Record, event: str, /, **fields: object) -> object:
        if event == "rung":
            fields["scores"] = {**fields["scores"], LATENCY: 100.0}  # type: ignore[dict-item]
        return usual(record, event, **fields)

    words = {"objectives": objectives_to_plain(OBJECTIVES), "price_lists": lists(digest)} | changes
    with mock.patch.object(histories.Record, "append", append):
        write_history(folder, **words)  # type: ignore[arg-type]
    return folder


def test_the_report_speaks_of_no_noise_of_a_cost(tmp_path: Path) -> None:
    words, charts = words_of(timed(tmp_path, ended=16, seed=1)), body_of(tmp_path).charts
    for said in (f"{LATENCY} noise", f"of {LATENCY}", f"in {LATENCY} on", f"{LATENCY} pairs apart"):
        assert said not in words
    assert f"median {LATENCY}" in words and "FID noise" in words
    assert f"race-{LATENCY}" not in charts and "race-fid" in charts and f"curve-{LATENCY}" in charts
    cells = difference_cells(OBJECTIVES[2:], [Interval(-0.2, -0.2, -0.2)])
    assert [cell.text for cell in cells] == ["-20%", "exact"]


def test_milliseconds_of_different_lists_do_not_compare(tmp_path: Path) -> None:
    timed(tmp_path / "a", name="a"), timed(tmp_path / "b", "b", name="b", seed=2)
    timed(tmp_path / "c", name="c", seed=3)
    alike, unlike = (read_runs([tmp_path / name for name in names]) for names in ("ac", "ab"))
    assert objectives_of_all(alike) == OBJECTIVES and objectives_of_all(unlike) == FID_AND_CLIP
    assert all(
        one.exact == other.exact for one, other in zip(objectives_of_all(alike), OBJECTIVES, strict=True)
    )
    check_runs_comparable(unlike)
    decoders = objectives_to_plain((Objective("psnr", "maximize"), OBJECTIVES[2]))
    for run in unlike:
        run.history.header["objectives"] = decoders
    with pytest.raises(InputError, match=r"budget\.prices: milliseconds of different price lists"):
        check_runs_comparable(unlike)


def test_milliseconds_of_another_list_teach_nothing(tmp_path: Path) -> None:
    timed(tmp_path / "a", name="a"), timed(tmp_path / "b", "b", name="b", seed=2, ended=2)
    timed(tmp_path / "c", name="c", seed=3, ended=2)
    with closing(Record(tmp_path / "c")) as record:
        take_prior(record, [str(tmp_path / "a")])
        assert record.history.prior
    with (
        closing(Record(tmp_path / "b")) as record,
        pytest.raises(InputError, match=r"^prior: .*budget\.prices: milliseconds of other price lists"),
    ):
        take_prior(record, [str(tmp_path / "a")])
    with pytest.raises(InputError, match=r"^prior: .*budget\.prices: milliseconds of other"):
        refuse_prior_of_others([str(tmp_path / "a")], read_history(tmp_path / "b").header)
