"""What can this proxy not decide, and what size of experiment would?"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from analysis.evidence.effects import MOST_PAIRS_COUNTED, POWER, pairs_needed
from analysis.evidence.noise import MetricNoise
from analysis.evidence.resampling import ERROR_RATE
from analysis.evidence.text import Chapter, hours
from analysis.replay.table import RecordedTable
from search.formats import counted
from search.statistics.noise import Noise

_TITLE = "What this proxy cannot decide"
RELIABLE = 0.9


def limits_chapter(
    sections: Sequence[Chapter], noise: Sequence[MetricNoise], table: RecordedTable, core_seconds: float
) -> Chapter:
    """The limits of all sections, and what seeds would do about noise."""
    limits = [f"- {line}" for one in sections for line in one.limits]
    limits += [f"- {line}" for line in _of_noise(noise, table.noise, core_seconds)]
    waiting = [one.title for one in sections if len(one.parts) == 1]
    if waiting:
        limits.append(f"- Nothing is said yet of: {'; '.join(waiting)}.")
    return Chapter(_TITLE, (_scale(table), "\n".join(limits) or "No limit was found."))


def _scale(table: RecordedTable) -> str:
    """What the networks of the table are, beside the paper's."""
    pixels = table.header.get("data", {}).get("image_size_px")
    size = f", on images of {pixels} px" if pixels else ""
    return (
        f"What is decided here is decided for networks of 1/{table.proxy.width_divisor} of the paper's "
        f"widths{size}, after {table.rungs[-1]:,} steps of training, where what learns fastest is ahead. "
        "Nothing here is a measurement of the paper's networks at their own scale."
    )


def _of_noise(noise: Sequence[MetricNoise], stated: Noise, core_seconds: float) -> list[str]:
    lines = []
    for each in noise:
        if each.step != max(one.step for one in noise) or each.metric.name not in ("FID", "CLIP"):
            continue
        margin = stated.equivalent_fid_relative if each.metric.logarithmic else stated.equivalent_clip
        seeds = pairs_needed((2 * each.better_half.value) ** 0.5, margin, ERROR_RATE)
        text = f"{seeds:,} seeds" if seeds < MOST_PAIRS_COUNTED else f"{MOST_PAIRS_COUNTED:,} seeds or more"
        lines.append(
            f"Two networks of the better half that differ by "
            f"{each.metric.change_text(margin * each.metric.sign)} "
            f"in {each.metric.name} are told apart in {POWER:.0%} of cases by {text} of each "
            f"({hours(2 * seeds * core_seconds / 3600)} core-hours at {each.step} steps)."
        )
        if each.spread:
            among_sound = ""
            if each.sound is not None and each.sound.spread:
                among_sound = f", between sound ones with {counted(_seeds_to_rely(each.sound), 'seed')}"
            lines.append(
                f"{RELIABLE:.0%} of the variance of {each.metric.name} between networks is not noise once "
                f"each is trained with {counted(_seeds_to_rely(each), 'seed')}{among_sound}."
            )
    return lines


def _seeds_to_rely(each: MetricNoise) -> int:
    assert each.spread
    return max(1, ceil(RELIABLE / (1 - RELIABLE) * each.seeds.value / each.spread**2))
