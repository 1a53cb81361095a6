"""Which recorded runs make one table, and what a job costs in it."""

import pytest

from analysis.replay.table import check_rungs, load_table
from search.runs.record import RECORD_NAME
from search.strategy import Job
from space.shared.plain import InputError
from tests.analysis.replay.recordings import write_run
from tests.search.worlds import RUNGS


def test_runs_become_one_table_and_what_cannot_be_used_is_said(tmp_path):
    full = write_run(tmp_path / "a", "trials=6", "stopping=none", "seed=0")
    stopped = write_run(tmp_path / "b", "trials=12", "stopping=asha", "seed=1")
    found = load_table([str(full), str(stopped)])
    assert sum(len(runs) for runs in found.runs.values()) + len(found.stopped) == 18
    assert found.stopped and not found.left_out
    assert all([rung.step for rung in runs[0].rungs] == list(RUNGS) for runs in found.runs.values())


def test_runs_of_other_protocols_do_not_mix(tmp_path):
    a = write_run(tmp_path / "a", "trials=2")
    b = write_run(tmp_path / "b", "trials=2", "training.batch_size=8")
    with pytest.raises(InputError, match=r"measured differently.*training.batch_size: 16 against 8"):
        load_table([str(a), str(b)])


def test_a_seed_counts_once_and_other_seeds_are_repeats(tmp_path):
    a = write_run(tmp_path / "a", "trials=3", "sampler=random", "stopping=none")
    (tmp_path / "again").mkdir()
    for name in (RECORD_NAME, "config.yaml"):
        (tmp_path / "again" / name).write_text((a / name).read_text())
    assert load_table([str(a), str(tmp_path / "again")]).runs == load_table([str(a)]).runs


def test_rungs_left_out_still_cost_their_training(table):
    (run,) = next(iter(table.runs.values()))
    job = Job("0", "search", "", run.architecture, 0, (400,))
    (report,) = table.run(job, 0)
    assert report.seconds == {"training": 400.0, "sampling": 2.0} and report.scores == run.rungs[-1].scores
    with pytest.raises(InputError, match="nothing was recorded at step 300"):
        check_rungs([300, 400], table)
    with pytest.raises(InputError, match="must end with 400"):
        check_rungs([100], table)
    with pytest.raises(InputError, match=r"\[200, 100, 400\] do not rise"):
        check_rungs([200, 100, 400], table)
