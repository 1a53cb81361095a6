"""Whether the order of networks carries over to other images, as one page."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evidence.agreement import FEWEST_COMPARED
from analysis.evidence.elsewhere import CarriedOver, DecisionElsewhere, Elsewhere
from analysis.evidence.metrics import WHAT_IS_SOUND, Metric
from analysis.evidence.origins import provenance_chapter
from analysis.evidence.sources import mean_run_seconds
from analysis.evidence.text import Chapter, listed, markdown, missing, share_with_interval, with_interval
from analysis.replay.table import RecordedTable
from search.formats import counted
from search.runs.bundle import Bundled
from search.statistics.verdicts import Interval
from space.shared.plain import first_few

_EXPLAINED = (
    "Spearman's rank correlation, with the 95 % interval of a bootstrap over networks. *Means*: of all seeds "
    "that a network has here with all that it has there. What follows is of those that share so many *seeds* "
    "here and there: *of these* their means. *One run*: a run here with the mean there, the mean over the "
    "seeds here; *another seed* there would reach so much instead. *At most*: what the noise of both leaves "
    "of the correlation of their means if the order is the same. *Pairs*: of the pairs of networks that all "
    "seeds there order alike, the share that the mean here orders so; chance is 50 %."
)
_DECISIONS_EXPLAINED = (
    "What the paper's side changes, over the same pairs of networks: FIDs as shares (below zero: better), "
    "CLIP as it is, with the 95 % interval that the noise of seeds gives to these networks; nothing is "
    "adjusted for how many were tested. Noise is that of sound networks where the pairs are sound. "
    "*Otherwise*: decided on both sides, and opposite in a score. By how much does not compare: scores here "
    "and there are of other features."
)


_WORDS = ("otherwise", "as here")


def page(
    found: Elsewhere, tables: tuple[RecordedTable, RecordedTable], runs: Sequence[Bundled], how: str
) -> str:
    """The Markdown; `how` is the command that made it."""
    chapters = [_orders(found, tables), _decisions(found.decisions)]
    findings = "\n".join(f"- {line}" for chapter in chapters for line in chapter.findings)
    here, there = (_described(table) for table in tables)
    parts = [
        "# Does the order of networks carry over to other images?",
        f"Made by `{how}`; nothing on this page is edited by hand. *Here*: {here}. *There*: {there}.",
        f"## What was found\n\n{findings}" if findings else "",
        *(chapter.text() for chapter in chapters),
        provenance_chapter(runs).text(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _described(table: RecordedTable) -> str:
    data = table.header.get("data", {}).get("name", "unknown images")
    minutes = mean_run_seconds(table) / 60
    return f"{data}, {table.rungs[-1]:,} steps, {minutes:.1f} core-minutes a run"


def _orders(found: Elsewhere, tables: tuple[RecordedTable, RecordedTable]) -> Chapter:
    title = "The order"
    if not found.all_networks:
        return missing(title, f"{FEWEST_COMPARED} networks or more that were trained on both")
    few = f"Fewer than {FEWEST_COMPARED} sound networks were trained on both."
    parts = [f"{WHAT_IS_SOUND} {_EXPLAINED}"]
    parts += ["Among sound networks:", _table(found.sound)] if found.sound else [few]
    if not found.sound or found.all_networks[0].networks > found.sound[0].networks:
        parts += ["Among all networks, which those that fail carry:", _table(found.all_networks)]
    parts += [
        line
        for side, table in zip(("Here", "There"), tables, strict=True)
        for line in ended_early(side, table)
    ]
    return Chapter(title, tuple(parts), tuple(_finding(each) for each in found.sound))


def ended_early(side: str, table: RecordedTable) -> list[str]:
    """What is in no figure, since it did not come to its end."""
    runs = [f"{run.origin}: stopped" for run in table.stopped] + list(table.left_out)
    said = f"{side}: {counted(len(runs), 'run')} not at the end, which count nowhere: {first_few(runs)}."
    return [said] if runs else []


def _table(rows: Sequence[CarriedOver]) -> str:
    return markdown(
        [
            {
                "here": _name(row.here),
                "there": _name(row.there),
                "networks": str(row.networks),
                "means": with_interval(row.means),
                "seeds": f"{row.seeds[0]}, {row.seeds[1]} ({row.alike})",
                "of these": with_interval(row.shared),
                "one run": with_interval(row.one_run),
                "another seed": with_interval(row.another_seed),
                "at most": with_interval(row.most),
                "pairs": share_with_interval(row.pairs),
            }
            for row in rows
        ]
    )


def _finding(row: CarriedOver) -> str:
    words = {1: "carries over", -1: "is turned round", 0: "undecided"}
    verdict = words[row.means.sign if row.means else 0]
    limit = f"at most {with_interval(row.most)}"
    if row.most is not None and row.shared != row.means:  # the limit is that of other means
        limit = f"of the {row.alike} that share seeds {with_interval(row.shared)}, {limit}"
    return (
        f"{_name(row.here)} here and {_name(row.there)} there: {with_interval(row.means)} over "
        f"{counted(row.networks, 'sound network')} ({limit}): {verdict}."
    )


def _decisions(found: Sequence[DecisionElsewhere]) -> Chapter:
    title = "The paper's decisions"
    if not found:
        return missing(title, "pairs of networks that differ in one decision, trained on both")
    rows = [_decision_row(each) for each in found]
    of = {word: [each.decision.name for each in found if each.word == word] for word in _WORDS}
    told = "; ".join(f"{word}: {listed(names)}" for word, names in of.items())
    summary = f"Of {len(found)} decisions come out {told}."
    return Chapter(title, (_DECISIONS_EXPLAINED, markdown(rows)), (summary,))


def _decision_row(found: DecisionElsewhere) -> dict[str, str]:
    left_out = f" ({found.unshared} without a shared seed)" if found.unshared else ""
    row = {"decision": f"{found.decision.name}: {found.decision.papers}", "pairs": f"{found.pairs}{left_out}"}
    for (one, other), ours, theirs in zip(found.metrics, found.here, found.there, strict=True):
        row |= {
            f"{_name(one.score)} here": _changed(one, ours) if found.pairs else "-",
            f"{_name(other.score)} there": _changed(other, theirs) if found.pairs else "-",
        }
    return row | {"comes out": found.word}


def _changed(metric: Metric, change: Interval) -> str:
    if not change.known:
        return f"{metric.change_text(change.middle)} (noise unknown)"
    ends = sorted((change.low, change.high), key=metric.change)
    low, high = (metric.change_text(end) for end in ends)
    return f"{metric.change_text(change.middle)} ({low} to {high})"


def _name(score: str) -> str:
    """`fid_embedded_clip` as people read it."""
    kind, _, of = score.partition("_")
    return {"fid": f"FID {of}", "clip": f"CLIP {of}"}.get(kind, score).replace("_", " ")
