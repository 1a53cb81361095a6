"""The page: what was found first, then what was recorded, every question, and where the figures come from."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.bundle import Bundled, commands
from search.confirming.variance import Variance
from search.evidence import (
    correlation,
    effects,
    effects_text,
    figures,
    limits,
    noise,
    prediction,
    prediction_text,
    standing,
    transfer,
    winners,
)
from search.evidence.metrics import metrics_of
from search.evidence.noise import noise_at
from search.evidence.sources import Evidence, all_trials, times, worker_seconds
from search.evidence.text import NOT_RECORDED, Section, listed, markdown, missing
from search.formats import counted
from search.protocols import DECIDES_A_SCORE, field_differences, flat, shown
from search.record import History
from search.replay.table import Table
from space.architecture import Architecture
from space.cost import Budget

GOALS = {"networks": 150, "three seeds": 30, "longer": 20, "bigger": 12}
SHOWN_SETTINGS = (
    "proxy.width_divisor",
    "data.name",
    "data.image_size_px",
    "training.batch_size",
    "training.learning_rate",
    "training.diffusion.prediction",
    "training.guidance",
    "training.sampling_steps",
    "protocol.images",
    "protocol.reference.images",
)


@dataclass(frozen=True)
class Reference:
    """MD or MD-Lite: its architecture, and the budget that it is ranked under."""

    architecture: Architecture
    budget: Budget


@dataclass(frozen=True)
class Page:
    """Where the page goes, how it was asked for, and whom to tell what is being worked out."""

    out: Path
    command: str
    tell: Callable[[str], None] = lambda text: None

    @property
    def pictures(self) -> Path:
        return self.out.with_suffix("")

    def picture(self, name: str, caption: str) -> str:
        return f"![{caption}]({self.pictures.name}/{name}.png)"


def document(evidence: Evidence, references: Mapping[str, Reference], page: Page) -> str:
    """The Markdown of the page; its pictures are written beside it.

    Raises:
        InputError: a picture that cannot be written.
    """
    sections = _sections(evidence, references, page)
    beginning = "\n\n".join(
        _beginning(section) for section in sections if section.findings or _waits(section)
    )
    return (
        "\n\n".join(
            [
                "# Evidence: what recorded networks say",
                f"Made by `{page.command}`; nothing on this page is edited by hand. Intervals are 95 %. What "
                "lies inside the noise is called undecided.",
                f"## What was found\n\n{beginning}",
                _recorded(evidence).text(),
                *(section.text() for section in sections),
                _provenance(evidence.runs).text(),
            ]
        )
        + "\n"
    )


def _sections(evidence: Evidence, references: Mapping[str, Reference], page: Page) -> list[Section]:
    table, md = evidence.table, references["md"].architecture
    if table is None:
        how = (
            "`python -m search name=table sampler=sobol stopping=none confirmation=none enqueue=[md,md_lite]`"
        )
        return [missing("The table", f"networks of full length (run `table`: {how})")]
    page.tell("noise, and rungs against the end")
    spread = sorted(evidence.spread)
    noises = noise.noise_by_rung(table, spread)
    ranks = correlation.correlations(table, evidence.spread, evidence.long) if spread else None
    page.tell("what predicts the end")
    forecasts = prediction.settings(table, evidence.spread, evidence.long)
    page.tell("the paper's decisions")
    worths = _worths(table, md, noises)
    page.tell("where MD and MD-Lite rank")
    places = [
        found
        for name, each in references.items()
        if (found := standing.standing(table, evidence.spread, name, each.architecture, each.budget))
    ]
    properties = standing.properties(table, evidence.spread)
    drawn = [runs[0].architecture for key, runs in table.runs.items() if key in evidence.spread]
    page.tell("pictures")
    _draw(table, evidence, references, page, ranks, worths, noises)
    sections = [
        noise.section(evidence, noises),
        correlation.section(
            evidence, ranks, page.picture("correlation", "Rank correlation by rung and metric")
        ),
        prediction_text.section(evidence, forecasts),
        effects_text.section(evidence, worths, page.picture("effects", "Effects of the decisions")),
        standing.section(evidence, places, properties, _scores_picture(page)),
        winners.section(evidence, winners.winners_of(evidence.searches, md, drawn, table.space), md),
        transfer.section(evidence),
    ]
    return [*sections, limits.section(sections, noises, table, _core_seconds(table))]


def _scores_picture(page: Page) -> str:
    scores = page.picture("scores", "Scores against GMACs")
    return f"{scores}\n\n{page.picture('curves', 'Learning curves of the space-filling networks')}"


def _worths(table: Table, md: Architecture, noises: Sequence[noise.MetricNoise]) -> list[effects.Worth]:
    last = table.rungs[-1]
    of_metric: dict[str, Variance] = {
        metric.name: noise_at(noises, metric, last, table.noise, paired=True)
        for metric in metrics_of(table)[:2]
    }
    return effects.worths(table, md, of_metric, table.noise, _core_seconds(table))


def _core_seconds(table: Table) -> float:
    """Of a run of the table, on average."""
    runs = [run for found in table.runs.values() for run in found]
    return sum(run.seconds for run in runs) / len(runs)


def _draw(
    table: Table,
    evidence: Evidence,
    references: Mapping[str, Reference],
    page: Page,
    ranks: correlation.Correlations | None,
    worths: Sequence[effects.Worth],
    noises: Sequence[noise.MetricNoise],
) -> None:
    named = {name: each.architecture for name, each in references.items()}
    if ranks is not None and ranks.networks >= correlation.FEWEST_NETWORKS:
        figures.draw_correlations(page.pictures / "correlation.png", ranks)
    if any(worth.pairs for worth in worths):
        figures.draw_effects(page.pictures / "effects.png", worths)
    if evidence.spread:
        figures.draw_scores(page.pictures / "scores.png", table, evidence.spread, named, noises)
        figures.draw_curves(page.pictures / "curves.png", table, evidence.spread, named)


def _beginning(section: Section) -> str:
    lines = [f"- {line}" for line in section.findings] or [f"- {section.parts[0]}"]
    return "\n".join([f"**{section.title}**", "", *lines])


def _waits(section: Section) -> bool:
    return len(section.parts) == 1 and section.parts[0].startswith(NOT_RECORDED)


# ---------------------------------------------------------------------- what was recorded


def _recorded(evidence: Evidence) -> Section:
    table = evidence.table
    counts = [
        _count("networks of the table", len(table.runs) if table else 0, GOALS["networks"]),
        _count("of them space-filling", len(evidence.spread), None),
        _count("of them with three seeds or more", _with_seeds(table, 3), GOALS["three seeds"]),
        _count("of them trained longer", _also(table, evidence.long), GOALS["longer"]),
        _count("of them under the bigger proxy", _also(table, evidence.bigger), GOALS["bigger"]),
        _count("whole searches", len(evidence.searches), None),
        _count("runs, of any kind and length", sum(1 for _ in all_trials(evidence.histories.values())), None),
        {
            "what": "core-hours of training and evaluation",
            "recorded": f"{worker_seconds(evidence.histories.values()) / 3600:,.1f}",
            "planned": "-",
        },
    ]
    parts = [markdown(counts), *_protocols(evidence)]
    if table is not None and table.left_out:
        parts.append(
            f"{counted(len(table.left_out), 'run')} of the table did not reach full length or failed, and "
            "count nowhere."
        )
    if evidence.others:
        parts.append(f"Runs that have no part here: {listed(evidence.others)}.")
    return Section("What was recorded", tuple(parts))


def _count(what: str, number: int, goal: int | None) -> dict[str, str]:
    return {"what": what, "recorded": f"{number:,}", "planned": f"{goal}" if goal else "-"}


def _with_seeds(table: Table | None, seeds: int) -> int:
    return sum(len({run.seed for run in runs}) >= seeds for runs in table.runs.values()) if table else 0


def _also(table: Table | None, other: Table | None) -> int:
    return len(set(table.runs) & set(other.runs)) if table and other else 0


def _protocols(evidence: Evidence) -> list[str]:
    """The protocol of the table, and in what the others differ from it."""
    if evidence.table is None:
        return []
    header = evidence.table.header
    fields = dict(flat({name: header[name] for name in DECIDES_A_SCORE if name in header}))
    settings = [f"{name} {shown(fields[name])}" for name in SHOWN_SETTINGS if name in fields]
    lines = [f"Protocol of the table: rungs at {list(evidence.table.rungs)}; {'; '.join(settings)}."]
    for name, of_role in (
        ("the longer training", evidence.of_role(evidence.roles.long)),
        ("the searches", evidence.of_role(evidence.roles.searches)),
        ("the bigger proxy", evidence.of_role(evidence.roles.bigger)),
    ):
        if of_role:
            differences = _differences(header, of_role.values())
            lines.append(f"Different for {name}: {'; '.join(differences) or 'nothing'}.")
    return ["\n".join(f"- {line}" for line in lines)]


def _differences(header: Mapping[str, object], histories: Iterable[History]) -> list[str]:
    found = [field_differences(header, history.header, DECIDES_A_SCORE) for history in histories]
    return list(dict.fromkeys(line for lines in found for line in lines))


# ---------------------------------------------------------------------- provenance


def _provenance(runs: Sequence[Bundled]) -> Section:
    rows = [_provenance_row(run) for run in runs]
    typed = [f"{run.name}: `{command}`" for run, command in zip(runs, commands(runs), strict=True)]
    return Section(
        "Provenance",
        (
            "Every run of the file: the code that made it, when (UTC), on what, the core-hours of its "
            "workers, and the SHA-256 of its record.",
            markdown(rows),
            "Started by:",
            "\n".join(f"- {line}" for line in typed),
        ),
    )


def _provenance_row(run: Bundled) -> dict[str, str]:
    said, history = run.provenance, run.history
    trials = [*history.trials, *history.confirmations]
    complete = sum(trial.state == "complete" for trial in trials)
    begun, ended = times(history)
    changed = said.get("changed_files")
    return {
        "run": run.name,
        "commit": f"{str(said.get('commit') or '-')[:12]}{f' + {changed} changed files' if changed else ''}",
        "from": _date(begun),
        "to": _date(ended),
        "hardware": _hardware(said),
        "runs: complete, others": f"{complete}, {len(trials) - complete}",
        "core-hours": f"{worker_seconds([history]) / 3600:,.1f}",
        "record": run.digest[:16],
    }


def _hardware(said: Mapping[str, object]) -> str:
    hardware = said.get("hardware")
    if not isinstance(hardware, Mapping):
        return "-"
    words = [str(hardware.get("processor") or hardware.get("machine") or "")]
    words.append(f"{hardware.get('cpus')} CPUs")
    if hardware.get("gpu"):
        words.append(str(hardware["gpu"]))
    packages = said.get("packages")
    if isinstance(packages, Mapping) and packages.get("torch"):
        words.append(f"torch {packages['torch']}")
    return ", ".join(words)


def _date(seconds: float) -> str:
    if seconds in (float("inf"), float("-inf")):
        return "-"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
