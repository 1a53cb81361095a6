"""Tables of made-up runs, for tests of what they say."""

from __future__ import annotations

from analysis.evidence.metrics import Metric
from analysis.replay.table import RecordedTable, table_of
from search.plan import named_architecture
from search.runs.bundle import Bundled
from space.architecture import Architecture
from tests.search.made_up import World, networks

MD, MD_LITE = named_architecture("md"), named_architecture("md_lite")
FID, CLIP = Metric("FID", "fid_embedded_clip", -1, True), Metric("CLIP", "clip_embedded", 1)
FORTY = networks(40)
TWENTY = FORTY[:20]


def table(*runs: Bundled) -> RecordedTable:
    return table_of({run.name: run.history for run in runs})


def seeded(world: World, found: list[Architecture], seeds: range) -> RecordedTable:
    return table(world.run("table", [(network, seed) for seed in seeds for network in found]))
