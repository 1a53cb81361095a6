"""The second half of the page: every trial, why each ended, what it all cost, and where it comes from."""

from __future__ import annotations

import json
from html import escape

from analysis.findings import (
    LEAST_TRIALS_FOR_IMPORTANCES,
    importances,
    refusals,
    reruns,
    seconds_by_kind,
    spreads,
    steps_saved,
)
from analysis.report import figures
from analysis.report.curves import curve
from analysis.report.html import MOST_ROWS, Cell, badge, card, listing, number, section, table
from analysis.report.page import Page
from search.formats import duration, ending, millions, share
from search.runs.files import PROVENANCE_NAME
from search.runs.header import objectives_of
from search.runs.record import Trial

ROWS_OF_REFUSALS = 50
FAILURES_LISTED = 100


def trial_section(page: Page) -> str:
    trials, objectives = list(page.history.trials), objectives_of(page.history)
    if page.winner is not None and len(trials) > MOST_ROWS:
        trials = [page.winner, *(trial for trial in trials if trial is not page.winner)]
    heads = [
        "trial",
        "state",
        "architecture",
        "parameters",
        "GMACs",
        "steps",
        "FID",
        "CLIP",
        "validation loss",
    ]
    rows = [(_row_class(page, trial), _trial_row(trial, objectives.fid, objectives.clip)) for trial in trials]
    content = table([*heads, "time", "why it ended"], rows, sortable=True, numbers=[0, 3, 4, 5, 6, 7, 8, 9])
    return section("Trials", "Click a heading to sort. The winner is marked.", card(content))


def _row_class(page: Page, trial: Trial) -> str:
    return "winner" if trial is page.winner else ""


def _trial_row(trial: Trial, fid: str, clip: str) -> list[Cell]:
    return [
        number(trial.number),
        Cell(badge(trial.state), trial.state, html=True),
        Cell(f"<code>{trial.architecture.id}</code>", html=True),
        Cell(millions(trial.cost.parameters), trial.cost.parameters, "number"),
        number(trial.cost.gmacs, 1),
        Cell(f"{trial.last_step} / {trial.steps}", trial.last_step, "number"),
        number(trial.score(fid), 2),
        number(trial.score(clip), 3),
        number(trial.score("validation_loss"), 4),
        Cell(duration(trial.seconds), round(trial.seconds, 3), "number"),
        Cell(ending(trial), css="wide"),
    ]


def curve_section(page: Page) -> str:
    history, objectives = page.history, objectives_of(page.history)
    charts = [
        page.chart("curve-fid", curve(history, objectives.fid, "FID, lower is better", page.winner)),
        page.chart("curve-clip", curve(history, objectives.clip, "CLIP, higher is better", page.winner)),
    ]
    if not any(charts):
        return section("Learning curves", "No trial has been evaluated yet.")
    about = (
        "Every curve begins at the scores of an untrained network. Squares mark where trials were halted; "
        "diamonds are the reference points' confirmation runs."
    )
    return section("Learning curves", about, f'<div class="grid">{"".join(charts)}</div>')


def stopping_section(page: Page) -> str:
    history = page.history
    halted = [trial for trial in history.trials if trial.state == "halted"]
    failed = [trial for trial in history.trials if trial.state == "failed"]
    saved = steps_saved(history.trials)
    about = (
        f"Stopping spared {saved.steps:,} of {saved.of_steps:,} training steps ({share(saved.share)}): "
        f"{len(halted)} trials were halted."
        if halted
        else "No trial was halted."
    )
    content = []
    if halted:
        rows = [
            (
                "",
                [
                    number(t.number),
                    number(t.last_step),
                    number(t.steps - t.last_step),
                    Cell(ending(t), css="wide"),
                ],
            )
            for t in halted
        ]
        heads = ["trial", "halted at step", "steps spared", "why"]
        content.append(card(table(heads, rows, sortable=True, numbers=range(3))))
    if again := reruns(history):
        wrong = [trial.name for trial, _, wrongly in again if wrongly]
        content.append(
            f"<p>{len(again)} halted trials were trained again to full length with the search's seed: "
            f"{len(wrong)} would have reached the Pareto front and were halted wrongly"
            f"{escape(' (' + ', '.join(wrong) + ')') if wrong else ''}.</p>"
        )
    elif halted:
        content.append(
            "<p class='soft'>No halted trial was run to the end, so wrong stops were not counted.</p>"
        )
    if failed:
        said = [f"{trial.name}: {ending(trial)}" for trial in failed[:FAILURES_LISTED]]
        if len(failed) > FAILURES_LISTED:
            said.append(f"and {len(failed) - FAILURES_LISTED:,} more")
        content.append(f"<h3 style='margin-top:16px'>Failed</h3>{listing(said)}")
    return section("Stopping", about, *content)


def spread_section(page: Page) -> str:
    found = spreads(page.history)
    if not found:
        return ""
    heads = ["step", "trials", "median FID", "FID spread", "FID noise", "FID pairs apart"]
    heads += ["median CLIP", "CLIP spread", "CLIP noise", "CLIP pairs apart"]
    rows = [
        (
            "",
            [
                number(s.step),
                number(s.trials),
                number(s.fid_median, 2),
                Cell(share(s.fid_relative), css="number"),
                Cell(share(s.noise.fid_relative), css="number"),
                Cell(share(s.fid_pairs), css="number"),
                number(s.clip_median, 3),
                number(s.clip, 3),
                number(s.noise.clip, 3),
                Cell(share(s.clip_pairs), css="number"),
            ],
        )
        for s in found
    ]
    about = (
        "Standard deviations over the candidates, beside those of one network from seed to seed; FID's as "
        "shares of the FID. Pairs apart: the share of pairs of trials that differ beyond the noise. Trials "
        "halted before a step are missing from it."
    )
    return section("Candidates against noise", about, card(table(heads, rows, numbers=range(10))))


# ---------------------------------------------------------------------- cost and time


def cost_section(page: Page) -> str:
    history = page.history
    chart = page.chart("costs", figures.costs(history, page.winner, page.references))
    counts = refusals(history)
    if not counts:
        return section("Budget", "No proposal was refused. Dashed lines are the bounds.", chart)
    total, trained = len(history.rejections), len(history.trials)
    about = (
        f"Every proposal is priced before anything starts: {total:,} were refused, {trained:,} became "
        "trials. Dashed lines are the bounds."
    )
    kinds = table(
        ["refused for", "proposals"],
        [("", [Cell(kind), number(count)]) for kind, count in counts.items()],
        numbers=[1],
    )
    rows = [
        (
            "",
            [
                number(r.before_trial),
                Cell(f"<code>{escape(r.architecture_id)}</code>", html=True),
                number(r.parameters / 1e6, 1),
                number(r.gmacs, 1),
                Cell(r.kind),
                Cell(r.reason),
            ],
        )
        for r in history.rejections[:ROWS_OF_REFUSALS]
    ]
    heads = ["before trial", "architecture", "parameters (M)", "GMACs", "kind", "reason"]
    first = f"The first {len(rows)} of {total:,} refusals" if total > len(rows) else f"All {total:,} refusals"
    ledger = (
        f"<details><summary>{first}</summary>{table(heads, rows, sortable=True, numbers=[0, 2, 3])}</details>"
    )
    spaced = f'<div style="margin-top:16px">{card(kinds + "<br>" + ledger)}</div>'
    return section("Budget", about, chart, spaced)


def importance_section(page: Page) -> str:
    found = importances(page.history)
    if found is None:
        return section(
            "What mattered",
            f"Too few: parameter importances need {LEAST_TRIALS_FOR_IMPORTANCES} complete trials of the "
            "space that differ in their choices.",
        )
    about = (
        f"How much of the scores' variance each choice explains (fANOVA over {found.trials} complete trials "
        f"and {len(found.fid)} choices). Dotted lines: what the luckiest choice explains of shuffled scores; "
        "a bar that does not pass its line says nothing."
    )
    return section("What mattered", about, page.chart("importances", figures.importance_bars(found)))


def time_section(page: Page) -> str:
    kinds = seconds_by_kind(page.history)
    total = sum(search + confirm for search, confirm in kinds.values())
    if not total:
        return ""
    longest = max(search + confirm for search, confirm in kinds.values())
    rows = [
        (
            "",
            [
                Cell(kind),
                Cell(duration(search + confirm), css="number"),
                Cell(share((search + confirm) / total), css="number"),
                Cell(_bars(search / longest, confirm / longest), html=True),
            ],
        )
        for kind, (search, confirm) in kinds.items()
    ]
    ends = [trial.ended for trial in page.history.by_key.values() if trial.ended]
    passed = max(ends, default=0.0) - min(trial.started for trial in page.history.by_key.values())
    clock = (
        f" From the first start to the last end {duration(passed)} passed on the clock." if passed > 0 else ""
    )
    sessions = len(page.history.sessions)
    pauses = f" That includes the pauses between {sessions} sessions." if clock and sessions > 1 else ""
    about = f"Worker time, summed over workers: {duration(total)}; blue the search, green the confirmation."
    heads = ["work", "time", "share", ""]
    return section("Where the time went", about + clock + pauses, card(table(heads, rows, numbers=[1, 2])))


def _bars(search: float, confirm: float) -> str:
    return (
        f'<div class="bars"><div class="bar" style="width:{search:.1%}"></div>'
        f'<div class="bar confirm" style="width:{confirm:.1%}"></div></div>'
    )


def provenance(page: Page) -> str:
    """Folded: everything one needs to compare these figures with others."""
    path = page.folder / PROVENANCE_NAME
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    blocks = [("Provenance", known), ("The run, as recorded", page.history.header)]
    folded = [
        f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
        for title, data in blocks
        if (text := json.dumps(data, indent=2, default=str) if data else "")
    ]
    content = card("".join(folded)) if folded else ""
    return section("Protocol and provenance", "", content) + (
        "<footer>Made from the record alone; the page loads nothing from a network.</footer>"
    )
