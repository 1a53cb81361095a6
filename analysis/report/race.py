"""The part of the page that says how sure the outcome is: verdicts, the race behind them, and the noise."""

from __future__ import annotations

from html import escape
from math import log10
from typing import Any

from analysis.findings import confirmed
from analysis.report import figures
from analysis.report.figures import COLOURS, Figure, reference_colour
from analysis.report.html import Cell, badge, card, number, section, table
from analysis.report.page import Page
from search.confirmation.repeats import estimated, shown
from search.formats import counted, label
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.scores import point_of
from search.statistics.verdicts import Interval, Verdict, after_each_seed

FINALIST_COLOURS = [COLOURS[meaning] for meaning in ("complete", "other", "halted", "failed")]
MOST_RATIO = 8.0  # of the chart's axis: intervals of one seed reach far beyond what matters


def verdict_section(page: Page) -> str:
    if not confirmed(page.history):
        said = "The best trials have not been trained again with new seeds: nothing below is confirmed."
        return section("Verdicts", said)
    about = (
        "Finalists and reference points, trained again with the same new seeds. A verdict needs an interval "
        "that leaves zero out in one score and is not against it in the other; a lower FID and a higher CLIP "
        "are better."
    )
    rows = [("", verdict_row(verdict)) for verdict in page.verdicts]
    heads = ["network", "against", "verdict", "FID", "between", "CLIP", "between", "seeds", "steps"]
    none = "<p>No confirmed trial shares a seed with another network yet.</p>"
    content = table(heads, rows, numbers=range(3, 9)) if rows else none
    return section("Verdicts", about, card(content), _race(page))


def verdict_row(verdict: Verdict) -> list[Cell]:
    """Network, against, verdict, FID and between what, CLIP and between what, seeds, steps."""
    fid, clip = verdict.fid, verdict.clip
    return [
        Cell(verdict.name),
        Cell(verdict.against),
        Cell(badge(verdict.word), verdict.word, html=True),
        Cell(f"{fid.middle:+.0%}", fid.middle, "number"),
        Cell(_ends(fid, "+.0%"), css="number"),
        number(clip.middle, 3, sign=True),
        Cell(_ends(clip, "+.3f"), css="number"),
        number(verdict.seeds),
        number(verdict.steps),
    ]


def _ends(interval: Interval, form: str) -> str:
    return f"{interval.low:{form}} and {interval.high:{form}}"


def _race(page: Page) -> str:
    """Who got how many seeds and where each stands, how the intervals closed, every run and why."""
    charts = [page.chart("confirmation", figures.confirmation(page.history))]
    charts += [page.chart(name, drawn) for name, drawn in _closing_intervals(page).items()]
    first = f'<div class="grid" style="margin-top:16px">{card(_field(page))}{charts[0]}</div>'
    rest = f'<div class="grid" style="margin-top:16px">{"".join(charts[1:])}</div>' if charts[1:] else ""
    return first + rest + f'<div style="margin-top:16px">{card(_run_table(page))}</div>'


def _field(page: Page) -> str:
    rows = [
        (
            "winner" if page.winner and group.name == page.winner.name else "",
            [
                Cell(label(group.name)),
                number(len(group.points)),
                number(group.steps),
                number(group.mean.fid, 2),
                number(group.mean.clip, 3),
                Cell(_place(page, group.name), html=True),
            ],
        )
        for group in sorted(confirmed(page.history), key=lambda group: (-group.steps, -len(group.points)))
    ]
    heads = ["network", "seeds", "steps", "mean FID", "mean CLIP", ""]
    return f"<h3>The race</h3>{table(heads, rows, numbers=range(1, 5))}"


def _place(page: Page, name: str) -> str:
    if name in references_of(page.history):
        return "reference"
    if page.lead is not None and name == page.lead.winner.name:
        return badge("winner")
    if page.lead is not None and name in (trial.name for trial in page.lead.beaten):
        worse = [v.against for v in page.verdicts if v.name == name and v.word == "worse"]
        worse += [v.name for v in page.verdicts if v.against == name and v.word == "better"]
        return f"{badge('worse')} out: worse than {escape(', '.join(worse))}"
    return "still in"


def _closing_intervals(page: Page) -> dict[str, Figure]:
    """The winner against each of the others after every seed, in FID and in CLIP."""
    history, noise = page.history, noise_of(page.history)
    if noise is None or page.winner is None:
        return {}
    said = after_each_seed(history, objectives_of(history), noise, references_of(history), page.winner.name)
    if not said:
        return {}
    fid: list[dict[str, Any]] = []
    clip: list[dict[str, Any]] = []
    for place, (other, found) in enumerate(said.items()):
        shift = 0.08 * (place - (len(said) - 1) / 2)
        reference = other in references_of(history)
        colour = reference_colour(other) if reference else FINALIST_COLOURS[place % len(FINALIST_COLOURS)]
        ratios = [Interval(*(1 + end for end in (v.fid.middle, v.fid.low, v.fid.high))) for v in found]
        fid.append(_intervals(label(other), ratios, shift, colour))
        clip.append(_intervals(label(other), [verdict.clip for verdict in found], shift, colour))
    name = page.winner.name
    ends = [abs(log10(1 + end)) for own in said.values() for v in own for end in (v.fid.low, v.fid.high)]
    reach = min(1.05 * max(ends), log10(MOST_RATIO))
    ticks = [0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0]
    ratio = {
        "type": "log",
        "range": [-reach, reach],
        "tickvals": ticks,
        "ticktext": [f"{t:g}" for t in ticks],
    }
    return {
        "race-fid": _chart(fid, f"FID of {name}, times the other's", 1.0, ratio),
        "race-clip": _chart(clip, f"CLIP of {name}, above the other's", 0.0, {}),
    }


def _intervals(name: str, found: list[Interval], shift: float, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(f"against {name}"),
        "x": [place + shift for place in range(1, len(found) + 1)],
        "y": [interval.middle for interval in found],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [interval.high - interval.middle for interval in found],
            "arrayminus": [interval.middle - interval.low for interval in found],
            "color": colour,
            "thickness": 1.5,
        },
        "text": [f"between {interval.low:.3g} and {interval.high:.3g}" for interval in found],
        "hovertemplate": "%{y:.3~g}, %{text}<extra></extra>",
        "line": {"color": colour, "width": 1.3},
        "marker": {"color": colour, "size": 7},
    }


def _chart(traces: list[dict[str, Any]], title: str, equal: float, axis: dict[str, Any]) -> Figure:
    line = {"color": COLOURS["running"], "width": 1.5, "dash": "dash"}
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "shared seeds"}, "dtick": 1},
            "yaxis": {"title": {"text": escape(title)}} | axis,
            "shapes": [
                {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": equal, "y1": equal, "line": line}
            ],
        },
    }


def _run_table(page: Page) -> str:
    """Every confirmation run, failed ones too, in the order of their start."""
    objectives = objectives_of(page.history)
    rows = []
    for trial in page.history.confirmations:
        point, state = point_of(trial, objectives), badge(trial.state)
        rows.append(
            (
                "",
                [
                    Cell(label(trial.name)),
                    Cell(str(trial.seed), trial.seed, "number"),
                    number(trial.last_step or None),
                    number(point.fid if point else None, 2),
                    number(point.clip if point else None, 3),
                    Cell(f"{state} {escape(trial.reason)}" if trial.reason else state, html=True),
                    Cell(trial.why, css="wide"),
                ],
            )
        )
    heads = ["run of", "seed", "steps", "FID", "CLIP", "state", "why it was started"]
    count = counted(len(rows), "confirmation run")
    return f"<h3>{count[0].upper()}{count[1:]}</h3>{table(heads, rows, numbers=range(1, 5))}"


def noise_section(page: Page) -> str:
    """The noise at each rung, as stated and as this record's repeated seeds show it."""
    noise = noise_of(page.history)
    found = estimated([page.history], noise) if noise is not None else []
    if not found or not any(each.seeds or each.resampled is not None for each in found):
        return ""
    lines = [shown(each) for each in found]
    rows = [("", [Cell(text, css="number") for text in line.values()]) for line in lines]
    about = (
        "Standard deviations of one run; of FID as shares of the FID. Seeds: pooled over networks that were "
        "trained with two or more, with a 95 % interval; repeats are runs beyond the first of each. Paired: "
        "without what a seed does to all networks alike. Pictures: at most what more of them would cure. "
        "Together: the stated noise refined by the seeds. The stated one decided who was halted and "
        "who raced; refined, it says who leads, and mdsearch noise writes it down for the next search."
    )
    return section("Noise", about, card(table(list(lines[0]), rows, numbers=range(len(lines[0])))))
