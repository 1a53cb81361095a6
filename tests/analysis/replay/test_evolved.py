"""Actions of an evolution are decided again from what was recorded before them."""

from __future__ import annotations

from pathlib import Path

from analysis.replay.recheck import recheck_bundled
from search.objectives import FID_AND_CLIP, objectives_to_plain
from search.runs.bundle import Bundled
from search.runs.files import RECORD_NAME
from search.runs.record import Record, read_events
from search.statistics.noise import noise_to_plain
from search.toy import NOISE, RUNGS, SPACE
from space.budget import Budget
from space.shared.plain import to_plain
from tests.search.strategies.test_evolve import CLIP, COST, FID, SETTINGS, drive, strategy_on


def test_from_what_is_recorded_the_same_is_decided_again(tmp_path: Path) -> None:
    header = {
        "strategy": to_plain(SETTINGS),
        "space": to_plain(SPACE),
        "budget": Budget(500, 0.88 * COST).to_plain(),
        "proxy": {},
        "sampler": {"name": "random"},
        "stopping": {"name": "none"},
        "noise": noise_to_plain(NOISE),
        "objectives": objectives_to_plain(FID_AND_CLIP),
        "rungs": list(RUNGS),
        "seed": 0,
    }
    record = Record(tmp_path)
    record.append("run", name="toy", **header)
    record.append("start", scores={FID.name: 100.0, CLIP.name: 0.0}, protocol={})
    drive(strategy_on(record))
    record.close()
    events = list(read_events(tmp_path / RECORD_NAME))
    found = recheck_bundled(Bundled("toy", {}, "", tuple(events)))
    trials = len(record.history.trials)
    assert found.agrees, found
    assert (found.proposals.compared, found.rungs.compared) == (1 + trials, 3 + 3 + 3 * trials)
    place = next(place for place, event in enumerate(events) if event["event"] == "evolved")
    other = {**events[place], "actions": ["remove up-2/last/layer-0"]}
    found = recheck_bundled(Bundled("toy", {}, "", (*events[:place], other, events[place + 1])))
    assert "evolved supernet: actions ['remove up-2/last/layer-0'] is recorded" in found.difference
