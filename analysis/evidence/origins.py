"""What was recorded, how it was measured, and where it comes from."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

from analysis.evidence.sources import (
    RecordedEvidence,
    all_trials,
    by_proxy,
    mean_run_seconds,
    times,
    worker_seconds,
)
from analysis.evidence.text import Chapter, listed, markdown
from analysis.replay.table import RecordedTable
from search.formats import counted
from search.runs.bundle import Bundled, commands
from search.runs.compatibility import DECIDES_A_SCORE, field_differences, setting_text
from search.runs.record import History
from space.shared.plain import flat

GOALS = {"networks": 150, "three seeds": 30, "longer": 20, "bigger": 12, "sound": 16}
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


# ---------------------------------------------------------------------- what was recorded


def recorded_chapter(evidence: RecordedEvidence) -> Chapter:
    """Counts, and the protocols."""
    table = evidence.table
    counts = [
        _count("networks of the table", len(table.runs) if table else 0, GOALS["networks"]),
        _count("of them space-filling", len(evidence.spread), None),
        _count("of them with three seeds or more", _with_seeds(table, 3), GOALS["three seeds"]),
        _count("of them trained longer", _also(table, evidence.long), GOALS["longer"]),
        _count("of them under the bigger proxy", _also(table, evidence.bigger), GOALS["bigger"]),
        _count(
            "of them under the reference of the proxies", _also(table, evidence.reference), GOALS["sound"]
        ),
        _count("whole searches", len(evidence.searches), None),
        _count("runs, of any kind and length", sum(1 for _ in all_trials(evidence.histories.values())), None),
        {
            "what": "core-hours of training and evaluation",
            "recorded": f"{worker_seconds(evidence.histories.values()) / 3600:,.1f}",
            "planned": "-",
        },
    ]
    parts = [markdown(counts), *_protocols(evidence)]
    if table is not None:
        left_out = (
            f"; {counted(len(table.left_out), 'other run')} failed or did not reach it, and count nowhere"
        )
        parts.append(
            f"A run of the table took {mean_run_seconds(table):,.0f} core-seconds to its full length, on "
            f"average{left_out if table.left_out else ''}."
        )
    if evidence.others:
        parts.append(f"Runs that have no part here: {listed(evidence.others)}.")
    return Chapter("What was recorded", tuple(parts))


def _count(what: str, number: int, goal: int | None) -> dict[str, str]:
    return {"what": what, "recorded": f"{number:,}", "planned": f"{goal}" if goal else "-"}


def _with_seeds(table: RecordedTable | None, seeds: int) -> int:
    return sum(len({run.seed for run in runs}) >= seeds for runs in table.runs.values()) if table else 0


def _also(table: RecordedTable | None, other: RecordedTable | None) -> int:
    return len(set(table.runs) & set(other.runs)) if table and other else 0


def _protocols(evidence: RecordedEvidence) -> list[str]:
    """The protocol of the table, and in what the others differ from it."""
    if evidence.table is None:
        return []
    header = evidence.table.header
    fields = dict(flat({name: header[name] for name in DECIDES_A_SCORE if name in header}))
    settings = [f"{name} {setting_text(fields[name])}" for name in SHOWN_SETTINGS if name in fields]
    objectives = evidence.table.objectives
    lines = [
        f"FID is `{objectives[0].name}`, CLIP is `{objectives[1].name}`, by protocol "
        f"`{header.get('protocol', {}).get('name', '-')}`: figures of other protocols, published ones among "
        "them, do not compare.",
        f"Protocol of the table: rungs at {list(evidence.table.rungs)}; {'; '.join(settings)}.",
    ]
    proxies = by_proxy(evidence.of_role(evidence.roles.proxies))
    parts = {
        "the longer training": evidence.of_role(evidence.roles.long).values(),
        "the searches": evidence.of_role(evidence.roles.searches).values(),
        "the bigger proxy": evidence.of_role(evidence.roles.bigger).values(),
        **{f"the proxy {name}": runs.values() for name, runs in proxies.items()},
        "the reference of the proxies": evidence.of_role(evidence.roles.reference).values(),
    }
    for name, histories in parts.items():
        if histories:
            differences = _differences(header, histories)
            lines.append(f"Different for {name}: {'; '.join(differences) or 'nothing'}.")
    return ["\n".join(f"- {line}" for line in lines)]


def _differences(header: Mapping[str, object], histories: Iterable[History]) -> list[str]:
    found = [field_differences(header, history.header, DECIDES_A_SCORE) for history in histories]
    return list(dict.fromkeys(line for lines in found for line in lines))


# ---------------------------------------------------------------------- provenance


def provenance_chapter(runs: Sequence[Bundled]) -> Chapter:
    """Commits, dates, hardware, digests and commands."""
    rows = [_provenance_row(run) for run in runs]
    typed = [f"{run.name}: `{command}`" for run, command in zip(runs, commands(runs), strict=True)]
    return Chapter(
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
