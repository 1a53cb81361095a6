"""The page that lays runs side by side: one file, as report.html is, made from their records alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import exp
from pathlib import Path
from typing import Any

from analysis.comparison.runs import (
    Run,
    RunLedger,
    WinnersVerdict,
    ledger,
    progress,
    settings_that_differ,
    widest_noise,
    winners_verdicts,
)
from analysis.findings import all_verdicts, confirmed, pareto_front
from analysis.report import html_page
from analysis.report.figures import Figure, evenly_spaced, front_line, mean_mark, scatter, score_axes
from analysis.report.html import Cell, badge, card, figure, listing, number, section, table
from analysis.report.race import verdict_row
from search.formats import counted, duration, share, size
from search.runs.header import objectives_of, trials_asked
from search.runs.scores import point_of
from search.statistics.verdicts import Interval
from space.architecture import difference
from space.shared.files import write_whole

# One a run; far apart in hue, and from light to dark for those who don't tell hues apart.
COLOURS = ("#3b82f6", "#d9541f", "#0f9d6b", "#8b5cf6", "#c99a06", "#db4f9e", "#0e9fb5", "#6b7280")
SYMBOLS = ("circle", "square", "triangle-down", "triangle-up", "cross", "star", "hexagon", "x")


def write_comparison(runs: Sequence[Run], path: Path) -> Path:
    """Write the page about runs of one protocol, whole or not at all; returns its path."""
    verdicts = winners_verdicts(runs)
    figures: dict[str, Figure] = {"fronts": fronts(runs)} | curves_of_progress(runs)
    body = "\n".join(
        [
            _headline(runs, verdicts),
            _ledgers(runs),
            _settings(runs),
            _fronts(runs, figures),
            _winners(runs, verdicts),
            _progress(figures),
            _confirmed(runs),
            "<footer>Made from the runs' records alone; the page loads nothing from a network.</footer>",
        ]
    )
    title = f"{', '.join(run.name for run in runs)}: searches compared"
    return write_whole(
        path, html_page(title, body, {name: drawn for name, drawn in figures.items() if drawn})
    )


# ---------------------------------------------------------------------- words


def _headline(runs: Sequence[Run], verdicts: Sequence[WinnersVerdict]) -> str:
    objectives = objectives_of(runs[0].history)
    facts = [
        "Searches compared",
        *(run.name for run in runs),
        f"{objectives[0].name} and {objectives[1].name}",
    ]
    decided = [verdict for verdict in verdicts if verdict.word != "undecided"]
    lines = [f"{sentence(verdict)}." for verdict in (verdicts[1:] if decided else ())]
    return (
        f'<header class="top"><div class="kicker">{escape(" · ".join(facts))}</div>'
        f"<h1>{escape(_claim(runs, verdicts))}</h1>"
        f"{''.join(f'<p class=lead>{escape(line)}</p>' for line in lines)}</header>"
    )


def _claim(runs: Sequence[Run], verdicts: Sequence[WinnersVerdict]) -> str:
    without = [run.name for run in runs if run.winner is None]
    if without:
        return f"Nothing can be said of {', '.join(without)}: no trial was trained to its full length."
    if verdicts and all(verdict.word == "undecided" for verdict in verdicts):
        return "Undecided: no run's winner is better than another's beyond the noise."
    return f"{sentence(verdicts[0])}." if verdicts else "No noise is stated, so nothing can be decided."


def sentence(verdict: WinnersVerdict) -> str:
    """`The winner of a (trial 7) is better than that of b (trial 3), by 4 seeds of 500 steps`."""
    ours, theirs = verdict.run.winner, verdict.against.winner
    assert ours is not None and theirs is not None
    one, other = f"{verdict.run.name} ({ours.name})", f"{verdict.against.name} ({theirs.name})"
    by = f"{counted(verdict.seeds, 'seed')} of {verdict.steps} steps" if verdict.seeds else "one run of each"
    if verdict.word == "the same network":
        return f"{one} and {other} found the same network"
    if verdict.word == "undecided":
        return f"Between the winners of {one} and {other} it is undecided, by {by}"
    words = {"mixed": "better in one score and worse in the other than", "equivalent": "equivalent to"}
    return (
        f"The winner of {one} is {words.get(verdict.word, f'{verdict.word} than')} that of {other}, by {by}"
    )


def _ledgers(runs: Sequence[Run]) -> str:
    heads = ["run", "trials", "complete", "halted", "failed", "refused for budget", "tried before", "prior"]
    heads += ["steps trained", "spared", "search time", "confirmation"]
    rows = [("", _ledger_row(place, run, ledger(run.history))) for place, run in enumerate(runs)]
    about = (
        "Times are worker time, summed over workers. Prior: trials of earlier runs that a search began with."
    )
    return section("Ledgers", about, card(table(heads, rows, numbers=range(1, 12))))


def _ledger_row(place: int, run: Run, counts: RunLedger) -> list[Cell]:
    spared = counts.saved / (counts.saved + counts.steps) if counts.saved else 0.0
    return [
        _name(place, run),
        number(trials_asked(run.history)),
        number(counts.complete),
        number(counts.halted),
        number(counts.failed),
        number(counts.over_budget),
        number(counts.duplicates),
        number(counts.prior),
        number(counts.steps),
        Cell(f"{counts.saved:,} ({share(spared)})", counts.saved, "number"),
        Cell(duration(counts.search_seconds), css="number"),
        Cell(duration(counts.confirm_seconds), css="number"),
    ]


def _name(place: int, run: Run) -> Cell:
    dot = f'<span style="color:{COLOURS[place % len(COLOURS)]}">●</span>'
    return Cell(f"{dot}&nbsp;{escape(run.name)}", html=True)


def _settings(runs: Sequence[Run]) -> str:
    differing = settings_that_differ(runs)
    if not differing:
        return section("Settings", "Every recorded setting is equal.")
    rows = [("", [Cell(name), *map(Cell, values)]) for name, values in differing.items()]
    about = "Those that differ; all others are equal, and so is all that decides what a score means."
    return section("Settings", about, card(table(["setting", *(run.name for run in runs)], rows)))


def _fronts(runs: Sequence[Run], figures: dict[str, Figure]) -> str:
    if not figures["fronts"]:
        return section("FID and CLIP", "No trial has been trained to its full length yet.")
    noise = widest_noise(runs)
    about = (
        "Best is the top left. Small marks are complete trials, dotted lines their fronts, rings the "
        "winners; large diamonds are means of the winners' confirmation runs, which other seeds made."
    )
    if noise is not None:
        at, deviations = noise.rungs[0], noise.deviations * 2**0.5
        about += (
            " Two single runs differ beyond the noise from a factor of "
            f"{exp(deviations * at.fid_relative):.2f} in FID or {deviations * at.clip:.3f} in CLIP on; "
            "closer ones are undecided."
        )
    return section("FID and CLIP", about, figure("fronts"))


def _winners(runs: Sequence[Run], verdicts: Sequence[WinnersVerdict]) -> str:
    """Each winner, whom it cannot be told from, the verdicts between them, and how the networks differ."""
    known = [(run, run.winner) for run in runs if run.winner is not None]
    if not known:
        return ""
    cards = []
    for run, winner in known:
        assert run.lead is not None
        lines = [size(winner.cost), run.lead.sentence()]
        cards.append(
            card(
                f"<h3>{escape(run.name)}: {escape(winner.name)}, <code>{winner.architecture.id}</code></h3>"
                f"{listing(lines)}<details><summary>as YAML</summary>"
                f"<pre>{escape(winner.architecture.to_yaml())}</pre></details>"
            )
        )
    changes = []
    first_run, first = known[0]
    for run, winner in known[1:]:
        changed = [
            line.replace(" -> ", " → ") for line in difference(first.architecture, winner.architecture)
        ]
        told = listing(changed) if changed else "<p>It is the same network.</p>"
        title = f"From {first_run.name} ({first.name}) to {run.name} ({winner.name})"
        changes.append(card(f"<h3>{escape(title)}</h3>{told}"))
    said = [("", _winners_row(verdict)) for verdict in verdicts]
    heads = ["winner of", "against that of", "verdict", "by", "FID", "between", "CLIP", "between"]
    about = (
        "By confirmation runs with the same seeds where both winners have some. By one run of each a winner "
        "looks better than it is, since it was chosen for that run; what lies inside the noise is undecided."
    )
    content = card(table(heads, said, numbers=range(4, 8))) if said else ""
    grids = [f'<div class="grid" style="margin-top:16px">{"".join(part)}</div>' for part in (cards, changes)]
    return section("Winners", about, content, *grids)


def _winners_row(verdict: WinnersVerdict) -> list[Cell]:
    by = f"{counted(verdict.seeds, 'seed')} of {verdict.steps} steps" if verdict.seeds else "one run of each"
    return [
        Cell(verdict.run.name),
        Cell(verdict.against.name),
        Cell(badge(verdict.word), verdict.word, html=True),
        Cell(by),
        *_interval_cells(verdict.fid, "+.0%"),
        *_interval_cells(verdict.clip, "+.3f"),
    ]


def _interval_cells(interval: Interval | None, form: str) -> list[Cell]:
    if interval is None:
        return [Cell("", css="number")] * 2
    ends = f"{interval.low:{form}} and {interval.high:{form}}"
    return [Cell(f"{interval.middle:{form}}", css="number"), Cell(ends, css="number")]


def _progress(figures: dict[str, Figure]) -> str:
    charts = [figure(name) for name in figures if name.startswith("progress") and figures[name]]
    if not charts:
        return ""
    about = (
        "The best so far when a trial ended, against what the trials that had ended by then took: training "
        "steps, and worker time. The area is what the complete trials dominate of the plane of FID and CLIP, "
        "from the untrained network on. Steps inside the noise may be luck."
    )
    return section("Best so far", about, f'<div class="grid">{"".join(charts)}</div>')


def _confirmed(runs: Sequence[Run]) -> str:
    rows = [
        ("", [_name(place, run), *verdict_row(verdict)])
        for place, run in enumerate(runs)
        for verdict in all_verdicts(run.history)
    ]
    if not rows:
        return section("Verdicts in each run", "No run has been confirmed.")
    heads = ["run", "network", "against", "verdict", "FID", "between", "CLIP", "between", "seeds", "steps"]
    about = "Each run's finalists against its reference points and each other, by its own confirmation."
    return section("Verdicts in each run", about, card(table(heads, rows, numbers=range(4, 10))))


# ---------------------------------------------------------------------- charts


def fronts(runs: Sequence[Run]) -> Figure:
    """Every run's complete trials, front, winner and confirmed winner, a colour a run; empty without any."""
    traces: list[dict[str, Any]] = []
    noise = widest_noise(runs)
    for place, run in enumerate(runs):
        objectives, winner = objectives_of(run.history), run.winner
        complete = [
            (trial, point)
            for trial in run.history.trials
            if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
        ]
        if not complete:
            continue
        colour, symbol = COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]
        group = {"legendgroup": run.name}
        points = [point for _, point in pareto_front(run.history)]
        traces.append(front_line(points, colour) | group | {"showlegend": False})
        name, drawn = evenly_spaced(run.name, complete)
        mark = {"color": colour, "size": 7, "symbol": symbol, "opacity": 0.65}
        traces.append(scatter(name, drawn, mark) | group)
        if winner is not None and (point := point_of(winner, objectives)) is not None:
            ring = {"color": colour, "size": 17, "symbol": "circle-open", "line": {"width": 3}}
            traces.append(scatter(f"{run.name}: {winner.name}", [(winner, point)], ring) | group)
            for runs_of_it in confirmed(run.history):
                if noise is not None and runs_of_it.name == winner.name:
                    by = f"{counted(len(runs_of_it.points), 'seed')}, {runs_of_it.steps} steps"
                    name = f"{run.name}: {winner.name}, confirmed ({by})"
                    traces.append(mean_mark(name, runs_of_it, noise, colour) | group)
        for trace in traces:
            if trace.get("legendgroup") == run.name and "text" in trace:
                trace["text"] = [f"{escape(run.name)}: {said}" for said in trace["text"]]
    return {"data": traces, "layout": score_axes(runs[0].history)} if traces else {}


def curves_of_progress(runs: Sequence[Run]) -> dict[str, Figure]:
    """Best so far by what it took, a line a run; empty for runs without a complete trial."""
    moments = [(run, progress(run.history)) for run in runs]
    if not any(found for _, found in moments):
        return {}
    spent = {"steps": "training steps", "hours": "worker time (h)"}
    best = {"area": "area dominated, FID x CLIP", "fid": "best FID so far", "clip": "best CLIP so far"}
    charts = {}
    for y, x in (("area", "steps"), ("area", "hours"), ("fid", "steps"), ("clip", "steps")):
        traces = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(run.name),
                "x": [moment.steps if x == "steps" else moment.seconds / 3600 for moment in found],
                "y": [getattr(moment, y) for moment in found],
                "line": {"shape": "hv", "color": COLOURS[place % len(COLOURS)], "width": 2.2},
                "hovertemplate": escape(run.name) + ": %{y:.4~g} after %{x:,.4~g}<extra></extra>",
            }
            for place, (run, found) in enumerate(moments)
        ]
        layout = {
            "xaxis": {"title": {"text": spent[x]}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": best[y]}},
        }
        charts[f"progress-{y}-{x}"] = {"data": traces, "layout": layout}
    return charts
