"""Do conclusions carry over to a bigger proxy? The same networks under both."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from search.confirming.verdicts import Interval
from search.evidence.metrics import goodness, metrics_of
from search.evidence.resampling import interval, spearman
from search.evidence.sources import Evidence
from search.evidence.text import Section, markdown, missing, with_interval
from search.protocols import field_differences
from search.replay.table import Table

TITLE = "A bigger proxy"
FEWEST_NETWORKS = 5


@dataclass(frozen=True)
class Carried:
    """The rank correlation of one metric at the end of both proxies."""

    metric: str
    networks: int
    order: Interval | None


def carried(table: Table, bigger: Table) -> list[Carried]:
    """By each metric that both recorded, over the networks that both trained; means over each one's seeds."""
    theirs = {metric.name: metric for metric in metrics_of(bigger)}
    found = []
    for metric in metrics_of(table):
        if metric.name not in theirs:
            continue
        near = goodness(table, metric, table.rungs[-1])
        far = goodness(bigger, theirs[metric.name], bigger.rungs[-1])
        keys = [key for key in near if key in far]
        rows = np.array([[fmean(near[key].values()), fmean(far[key].values())] for key in keys])
        order = interval(rows, spearman) if len(keys) >= FEWEST_NETWORKS else None
        found.append(Carried(metric.name, len(keys), order))
    return found


def section(evidence: Evidence) -> Section:
    table, bigger = evidence.table, evidence.bigger
    if table is None or bigger is None:
        return missing(TITLE, "networks of the table trained under a bigger proxy (run `bigger`)")
    found = carried(table, bigger)
    names = ("proxy", "data", "training", "rungs")
    differences = field_differences(table.header, bigger.header, names)
    rows = [
        {"metric": each.metric, "networks": str(each.networks), "rank correlation": with_interval(each.order)}
        for each in found
    ]
    intro = (
        "Spearman's rank correlation between the two proxies, of the networks that both trained, each at "
        f"its last rung; 95 % bootstrap over networks. They differ in: {'; '.join(differences)}."
    )
    lines = [
        f"{each.metric} under the bigger proxy orders {each.networks} networks as the default one does to a "
        f"rank correlation of {with_interval(each.order)}."
        for each in found[:2]
        if each.order is not None
    ]
    return Section(TITLE, (intro, markdown(rows)), tuple(lines))
