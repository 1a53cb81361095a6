"""Networks that nothing recorded: what the surrogate says of them, and how well."""

import numpy as np
import pytest

from analysis.replay.surrogate import Surrogate
from analysis.replay.table import RecordedRun, RecordedTable
from search.strategy import Job
from space.shared.plain import InputError
from tests.analysis.replay.recordings import table_of
from tests.search.worlds import RUNGS, START, quality


def test_the_surrogate_ranks_networks_it_has_not_seen_and_knows_how_well(table):
    surrogate = Surrogate(table)
    assert surrogate.accuracy.architectures == 40 and surrogate.accuracy.correlations["CLIP"] > 0.7
    unseen = table_of(30, seed=1)
    own = [surrogate.predict(a)[-1] for a in unseen.architectures]
    assert (
        np.corrcoef(
            np.argsort(np.argsort(own)), np.argsort(np.argsort([quality(a) for a in unseen.architectures]))
        )[0, 1]
        > 0.6
    )
    job = Job("0", "search", "", unseen.architectures[0], 0, RUNGS)
    reports = list(surrogate.run(job, 3))
    assert [report.step for report in reports] == list(RUNGS) and reports == list(surrogate.run(job, 3))
    assert sum(report.seconds["training"] for report in reports) == pytest.approx(400, rel=0.01)


def test_a_stopped_runs_gap_is_filled_and_what_was_measured_stays():
    whole = table_of(20)
    key, (run,) = next(iter(whole.runs.items()))
    stopped = RecordedRun(run.architecture, 0, run.rungs[:1], "a/3")
    rest = {other: runs for other, runs in whole.runs.items() if other != key}
    surrogate = Surrogate(RecordedTable(whole.header, START, rest, (stopped,)))
    (filled,) = surrogate.filled_table().runs[key]
    assert filled.rungs[0] == run.rungs[0] and filled.origin == "a/3 + surrogate"
    assert [rung.step for rung in filled.rungs] == list(RUNGS)
    final = filled.rungs[-1].scores["clip_embedded"]
    assert abs(final - run.rungs[-1].scores["clip_embedded"]) < 0.15


def test_too_few_networks_make_no_surrogate():
    with pytest.raises(InputError, match="needs 8 recorded"):
        Surrogate(table_of(7))
