"""Tables of made-up runs, for tests of what they say."""

from __future__ import annotations

from analysis.evidence.metrics import Metric
from analysis.replay.table import RecordedTable, table_of
from search.named import named_architecture
from search.runs.bundle import Bundled
from space.architecture import Architecture
from space.choices import Space
from tests.search.made_up import World, by_size, networks
from tests.search.worlds import preset

MD, MD_LITE = named_architecture("md"), named_architecture("md_lite")
FID, CLIP = Metric("FID", "fid_embedded_clip", -1, True), Metric("CLIP", "clip_embedded", 1)
FORTY = networks(40)
TWENTY = FORTY[:20]
PAPER = preset("space", "paper", Space)
NEAR_BUDGET = {
    (1280, 1, 2): 8,
    (1216, 2, 2): 10,
    (1152, 1, 3): 11,
    (1152, 4, 1): 11,
    (1088, 2, 3): 13,
    (1024, 3, 3): 15,
    (960, 3, 4): 18,
    (896, 4, 4): 20,
}  # (width, layers down, layers up) -> layers in all


def of_papers_space(width: int, down: int, up: int) -> Architecture:
    chosen = {"level_3.channels": width, "level_3.layers_down": down, "level_3.layers_up": up}
    return PAPER.architecture(PAPER.pinned() | chosen)


def near_budget() -> list[Architecture]:
    return [of_papers_space(*each) for each in NEAR_BUDGET]


def table(*runs: Bundled) -> RecordedTable:
    return table_of({run.name: run.history for run in runs})


def seeded(world: World, found: list[Architecture], seeds: range) -> RecordedTable:
    return table(world.run("table", [(network, seed) for seed in seeds for network in found]))


def half_fail(network: Architecture) -> float:
    """A quality by which some networks fail, one more than another, and all others end alike."""
    size = by_size(network)
    return 0.6 if size > 0.6 else size - 0.4
