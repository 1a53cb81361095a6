"""Which proxy agrees with a longer and larger training, in words."""

from __future__ import annotations

from math import ceil

from analysis.evidence.agreement import DEFAULT_PROXY, FEWEST_COMPARED, Agreements, ProxyAtRung
from analysis.evidence.metrics import SOUND
from analysis.evidence.text import Chapter, decimal, hours, listed, markdown, missing, with_interval
from search.formats import counted
from search.statistics.verdicts import Interval

_TITLE = "Is there a better proxy?"
LONGER_PROXY = f"{DEFAULT_PROXY}, longer"
_SHOWN = ("FID", "CLIP", "validation loss")
_OF_PAIRS = ("FID", "CLIP")


def agreement_chapter(found: Agreements | None, plot: str) -> Chapter:
    if found is None:
        what = (
            f"{FEWEST_COMPARED} {SOUND} networks or more with two seeds of a longer and larger training "
            "(runs `reference-*` beside `proxy-*`; `mdsearch evidence sound`)"
        )
        return missing(_TITLE, what)
    parts = [_intro(found), markdown([_row(row) for row in found.rows]), _intro_ceiling(found)]
    parts += [markdown([_ceiling_row(name, found) for name in found.ceilings]), *_left_out(found), plot]
    return Chapter(_TITLE, tuple(parts), tuple(_findings(found)), tuple(limits_of(found)))


def _intro(found: Agreements) -> str:
    return (
        f"{counted(found.networks, 'network')}, {SOUND} and chosen by structure alone (`mdsearch evidence "
        "sound`), under each proxy and under the reference, a longer and larger training: "
        f"{counted(found.seeds, 'seed')} of {found.steps:,} steps, {found.core_minutes:.1f} core-minutes "
        "each. Spearman's rank correlation of one run's score with the mean of the reference's at its end "
        "(the mean over the proxy's seeds), with the 95 % interval of a bootstrap over networks. *Runs*: so "
        "many of each network make one score, and are paid for, in minutes of a worker: more than a core's "
        "where other work shared it. *Pairs*: the share of pairs of networks in the reference's order, of "
        "those that all its seeds order alike; chance is 50 %. *Gain*: the mean "
        "correlation of FID and CLIP, less that of one full run of the default on the same networks. The "
        "*verdict* is on one full run of each other proxy, beyond chance with all of them counted. What is "
        "sound was judged by the default's own FID, which narrows its own scores the most."
    )


def _row(row: ProxyAtRung) -> dict[str, str]:
    return {
        "proxy": row.proxy,
        "step": f"{row.step:,}",
        "runs": f"{row.averaged} of {row.seeds}",
        "core-minutes": f"{row.core_minutes:.1f}",
        "networks": str(row.networks),
        **{name: with_interval(_of(row, name)) for name in _SHOWN},
        **{f"pairs by {name}": _share(row, name) for name in _OF_PAIRS},
        "gain": with_interval(row.gain),
        "verdict": row.verdict or "-",
    }


def _of(row: ProxyAtRung, metric: str) -> Interval | None:
    return row.by_metric[metric].correlation if metric in row.by_metric else None


def _share(row: ProxyAtRung, metric: str) -> str:
    pairs = row.by_metric[metric].pairs if metric in row.by_metric else None
    return "-" if pairs is None else f"{pairs.middle:.0%} ({pairs.low:.0%} to {pairs.high:.0%})"


def _intro_ceiling(found: Agreements) -> str:
    return (
        "The ceiling that the reference's own noise leaves: one of its seeds with another, and from that, "
        f"after Spearman and Brown, another seed with the mean of the {found.seeds}, which is what a proxy's "
        "run is held against."
    )


def _ceiling_row(name: str, found: Agreements) -> dict[str, str]:
    ceiling, pairs = found.ceilings[name], found.networks * (found.networks - 1) // 2
    return {
        "metric": name,
        "one seed with another": with_interval(ceiling.one_seed),
        "another seed with the mean": with_interval(ceiling.with_mean),
        "pairs that all seeds order alike": f"{ceiling.alike} of {pairs}",
    }


def _findings(found: Agreements) -> list[str]:
    judged = found.judged
    if not judged:
        return [f"No other proxy was trained on {FEWEST_COMPARED} of the reference's networks yet."]
    better = [row.proxy for row in judged if row.verdict.startswith("better")]
    count = f"{len(judged)} other {'proxy' if len(judged) == 1 else 'proxies'}"
    than = "better with the longer and larger training than the default does, beyond chance"
    whether = (
        f"Of {count} {len(better)} {'agrees' if len(better) == 1 else 'agree'} {than}: {listed(better)}."
        if better
        else f"Of {count} none agrees {than}: the default stays."
    )
    full = [row for row in found.rows if row in judged or _is_default(row, found)]
    return [whether, *(_sentence(row, found) for row in full)]


def _left_out(found: Agreements) -> list[str]:
    few = [f"{name} ({counted(each, 'network')})" for name, each in found.left_out.items()]
    return (
        [f"Not compared, with fewer than {FEWEST_COMPARED} of these networks: {listed(few)}."] if few else []
    )


def _is_default(row: ProxyAtRung, found: Agreements) -> bool:
    last = max(each.step for each in found.rows if each.proxy == DEFAULT_PROXY)
    return row.proxy == DEFAULT_PROXY and row.averaged == 1 and row.step == last


def _sentence(row: ProxyAtRung, found: Agreements) -> str:
    agree = [
        f"{with_interval(_of(row, name))} by {name}, where another seed of the reference would reach "
        f"{with_interval(found.ceilings[name].with_mean)}"
        for name in _OF_PAIRS
    ]
    verdict = f"; {row.verdict} (gain {with_interval(row.gain)})" if row.verdict else ""
    name = row.proxy[0].upper() + row.proxy[1:]
    return (
        f"{name} ({row.core_minutes:.1f} core-minutes a run, {counted(row.networks, 'network')}) agrees with "
        f"it to a rank correlation of {' and '.join(agree)}{verdict}."
    )


def limits_of(found: Agreements) -> list[str]:
    """What stayed undecided; of a gain, how many networks would decide it, if intervals narrow as the square
    root of them."""
    lines = []
    for row in found.judged:
        if row.verdict != "undecided" or row.gain is None:
            continue
        text = f"Whether {row.proxy} agrees better than the default with a longer and larger training (gain "
        text += f"{with_interval(row.gain)}, {counted(row.networks, 'network')})"
        if row.gain.middle > 0:
            half = (row.gain.high - row.gain.low) / 2
            count = ceil(row.networks * (half / row.gain.middle) ** 2)
            price = count * (row.core_minutes * row.seeds + found.core_minutes * found.seeds) / 60
            text += (
                f": a gain of {decimal(row.gain.middle)} takes {count} networks ({hours(price)} core-hours)"
            )
        lines.append(f"{text}.")
    return lines
