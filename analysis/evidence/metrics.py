"""The scores of a protocol, each on the scale where its noise is even, all so that more is better."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import exp, expm1, log
from statistics import fmean
from typing import Literal

from analysis.replay.table import RecordedRun, RecordedTable
from search.objectives import SMALLEST_LOGARITHMIC, VALIDATION_LOSS, Objective
from space.shared.plain import InputError

# A network is sound if its mean FID at the last rung of the table is below this: MD and MD-Lite are.
# Of networks that end above it some seeds have left the first plateau by then and some have not; below it all
# have, and one run's noise is a third of that above (docs/evidence.md, noise by tertile).
SOUND_FID = 500.0
SOUND_OF = ("scenes", "fid_embedded_clip")  # data and score that it is of
SOUND = "sound"
WHAT_IS_SOUND = (
    f"*Sound* networks are those whose mean FID is under {SOUND_FID:.0f} at the end of the table, MD and "
    "MD-Lite among them: of worse ones some seeds have left the first plateau by then and some have not. "
    "They are chosen by what is then correlated, which narrows it; that is what a search has to tell apart."
)

ByNetwork = Mapping[str, Mapping[int, float]]  # network -> seed -> goodness


@dataclass(frozen=True)
class Metric:
    """`score` is its full name in the record. FIDs and losses count by their logarithm: seeds multiply
    them."""

    name: str
    score: str
    sign: int
    logarithmic: bool = False

    @classmethod
    def of(cls, objective: Objective) -> Metric:
        sign = -1 if objective.lower_is_better else 1
        name = objective.label.replace("_", " ")
        return cls(name, objective.name, sign, objective.scale == "log")

    @property
    def objective(self) -> Objective:
        """What a search would call it that wants it."""
        direction: Literal["minimize", "maximize"] = "minimize" if self.sign < 0 else "maximize"
        return Objective(self.score, direction, "log" if self.logarithmic else "linear", self.name)

    def goodness(self, value: float) -> float:
        return self.sign * (log(max(value, SMALLEST_LOGARITHMIC)) if self.logarithmic else value)

    def raw(self, goodness: float) -> float:
        """The score itself."""
        value = self.sign * goodness
        return exp(value) if self.logarithmic else value

    def change(self, goodness: float) -> float:
        """A difference of goodness as one says it: of a logarithmic score the share by which it is larger
        (-.2: 20 % lower, which is better), of CLIP the difference itself."""
        raw = self.sign * goodness
        return expm1(raw) if self.logarithmic else raw

    def change_text(self, goodness: float) -> str:
        change = self.change(goodness)
        text = f"{change:+.0%}" if self.logarithmic else f"{change:+.3f}"
        return text.replace("-", "\u2212")

    def deviation(self, deviation: float) -> str:
        """A standard deviation: of a logarithmic score as a share of it."""
        return f"{deviation:.0%}" if self.logarithmic else f"{deviation:.3f}"


def metrics_of(table: RecordedTable) -> tuple[Metric, ...]:
    """FID and CLIP that decide, then further objectives, the validation loss, and other FIDs that were
    recorded beside, of every run at every rung."""
    rungs = [rung.scores.keys() for runs in table.runs.values() for run in runs for rung in run.rungs]
    recorded = set.intersection(*map(set, rungs))
    found = [Metric.of(objective) for objective in table.objectives]
    decide = {objective.name for objective in table.objectives}
    if VALIDATION_LOSS in recorded - decide:
        found.append(Metric("validation loss", VALIDATION_LOSS, -1, True))
    others = sorted(name for name in recorded - decide if name.startswith("fid_"))
    return (
        *found,
        *(Metric(name.replace("_", " ").replace("fid", "FID"), name, -1, True) for name in others),
    )


def goodness(
    table: RecordedTable, metric: Metric, step: int, networks: Collection[str] | None = None
) -> ByNetwork:
    """Of every run of full length at one rung (of these networks only)."""
    return {
        key: _by_seed(runs, metric, step)
        for key, runs in table.runs.items()
        if networks is None or key in networks
    }


def sound_networks(table: RecordedTable) -> frozenset[str]:
    """Those of the table whose seeds' mean FID (of its logarithm) at the last rung is below `SOUND_FID`."""
    fid = metrics_of(table)[0]
    bound = fid.goodness(SOUND_FID)
    ends = goodness(table, fid, table.rungs[-1])
    return frozenset(key for key, by_seed in ends.items() if fmean(by_seed.values()) > bound)


def check_tells_sound(table: RecordedTable, where: str) -> None:
    """Raises InputError where `SOUND_FID` means nothing: it was found on scenes, by the FID that decides."""
    data = table.header.get("data", {}).get("name", SOUND_OF[0])  # the first records do not say it
    fid = metrics_of(table)[0].score
    if (data, fid) != SOUND_OF:
        raise InputError(
            f"{where}: its runs are of data={data}, scored by {fid}; needed: {' by '.join(SOUND_OF)}, where "
            f"{SOUND_FID:.0f} tells sound networks from others"
        )


def repeated(values: ByNetwork) -> ByNetwork:
    """Of the networks that have two seeds or more."""
    return {key: by_seed for key, by_seed in values.items() if len(by_seed) > 1}


def with_shared_seeds(values: ByNetwork) -> tuple[list[str], list[int]]:
    """The networks with two seeds or more that share the most common set of them, and the seeds."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for key, by_seed in values.items():
        if len(by_seed) > 1:
            groups.setdefault(tuple(sorted(by_seed)), []).append(key)
    if not groups:
        return [], []
    seeds = max(groups, key=lambda each: (len(groups[each]), len(each)))
    return [key for key, by_seed in values.items() if set(by_seed) >= set(seeds)], list(seeds)


def _by_seed(runs: Sequence[RecordedRun], metric: Metric, step: int) -> dict[int, float]:
    return {
        run.seed: metric.goodness(rung.scores[metric.score])
        for run in runs
        for rung in run.rungs
        if rung.step == step
    }
