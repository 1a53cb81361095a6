"""The page: what was found first, then what was recorded, every question, and where the figures come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.evidence import (
    agreement,
    agreement_plot,
    agreement_text,
    correlation,
    effects,
    effects_text,
    limits,
    main_effects,
    noise,
    origins,
    plots,
    prediction,
    prediction_text,
    properties,
    standing,
    transfer,
    width,
    width_plot,
    winners,
    winners_text,
)
from analysis.evidence.metrics import WHAT_IS_SOUND, metrics_of, sound_networks
from analysis.evidence.sources import RecordedEvidence, mean_run_seconds
from analysis.evidence.text import NOT_RECORDED, Chapter, missing
from analysis.evidence.winners import Winners
from analysis.replay.table import RecordedTable
from search.runs.header import space_of
from space.architecture import Architecture
from space.budget import Budget
from space.decoder_space import unet_space

TABLE = (
    "`mdsearch search name=table trials=152 sampler=sobol stopping=none confirmation=none recorded=false "
    "enqueue=[md,md_lite]`"
)


@dataclass(frozen=True)
class ReferenceNetwork:
    """MD or MD-Lite: its architecture, and the budget that it is ranked under."""

    architecture: Architecture
    budget: Budget


@dataclass(frozen=True)
class EvidencePage:
    """Where the page goes, how it was asked for, and whom to tell what is being worked out."""

    out: Path
    command: str
    tell: Callable[[str], None] = lambda text: None

    @property
    def plots_folder(self) -> Path:
        return self.out.with_suffix("")

    def plot(self, name: str, caption: str) -> str:
        return f"![{caption}]({self.plots_folder.name}/{name}.png)"


@dataclass(frozen=True)
class Answers:
    """To every question that is asked of the table."""

    noise: list[noise.MetricNoise]
    ranks: correlation.Correlations
    forecasts: list[prediction.ForecastSetting]
    effect_sizes: list[effects.EffectSize]
    main_effects: list[main_effects.MainEffect]
    places: list[standing.RankAmong]
    places_longer: list[standing.RankAmong]
    properties_of_sound: list[properties.Property]
    properties: list[properties.Property]
    alike: tuple[str, str, float] | None
    winners: Winners | None
    transfer: transfer.Transfer | None
    width: width.WidthAgainstDepth | None
    paper_winners: Winners | None
    agreement: agreement.Agreements | None


def document(
    evidence: RecordedEvidence, references: Mapping[str, ReferenceNetwork], page: EvidencePage
) -> str:
    """The Markdown of the page; its plots are written beside it.

    Raises:
        InputError: a plot that cannot be written.
    """
    if evidence.table is None:
        sections = [missing("The table", f"networks of full length (run `table`: {TABLE})")]
    else:
        answers = _answers(evidence, evidence.table, references, page.tell)
        page.tell("plots")
        _plot(evidence, evidence.table, references, page, answers)
        sections = _sections(evidence, evidence.table, references, page, answers)
    found = "\n\n".join(_beginning(each) for each in sections if each.findings or _waits(each))
    parts = [
        "# Evidence: what recorded networks say",
        f"Made by `{page.command}`; nothing on this page is edited by hand. Intervals are 95 %. What lies "
        f"inside the noise is called undecided. {WHAT_IS_SOUND}",
        f"## What was found\n\n{found}",
        origins.recorded_chapter(evidence).text(),
        *(section.text() for section in sections),
        origins.provenance_chapter(evidence.runs).text(),
    ]
    return "\n\n".join(parts) + "\n"


def _answers(
    evidence: RecordedEvidence,
    table: RecordedTable,
    references: Mapping[str, ReferenceNetwork],
    tell: Callable[[str], None],
) -> Answers:
    spread, md = evidence.spread, references["md"].architecture
    tell("noise")
    noises = noise.noise_by_rung(table, spread)
    of_run = {
        metric.name: noise.noise_at(noises, metric, table.rungs[-1], table.noise, paired=True)
        for metric in metrics_of(table)[:2]
    }
    tell("rungs against the end")
    ranks = correlation.correlations(table, spread, evidence.long)
    tell("what predicts the end")
    forecasts = prediction.forecast_settings(table, spread, evidence.long)
    tell("the paper's decisions")
    effect_sizes = effects.effect_sizes(table, md, of_run, table.noise, mean_run_seconds(table))
    tell("where MD and MD-Lite rank")
    places = [
        found
        for name, each in references.items()
        if (found := standing.standing(table, spread, name, each.architecture, each.budget)) is not None
    ]
    longer = [
        found
        for name, each in references.items()
        if evidence.long is not None
        for found in standing.standings_of_longer(evidence.long, table, name, each.architecture, each.budget)
    ]
    space_filling = [runs[0].architecture for key, runs in table.runs.items() if key in spread]
    named = {name: each.architecture for name, each in references.items()}
    of_searches = winners.winners_of(evidence.searches, md, space_filling, table, table.space)
    won = of_searches.winners if of_searches else ()
    return Answers(
        noises,
        ranks,
        forecasts,
        effect_sizes,
        main_effects.main_effects(table, spread),
        places,
        longer,
        properties.property_ranks(table, spread & sound_networks(table)),
        properties.property_ranks(table, spread),
        properties.most_alike(table, spread),
        of_searches,
        transfer.transfer(table, evidence.bigger, named, won) if evidence.bigger else None,
        width.width_against_depth(evidence.paper, md, references["md"].budget) if evidence.paper else None,
        _paper_winners(evidence, evidence.paper, references["md"]) if evidence.paper else None,
        agreement.agreements(table, _other_proxies(evidence), evidence.reference)
        if evidence.reference
        else None,
    )


def _paper_winners(evidence: RecordedEvidence, paper: RecordedTable, md: ReferenceNetwork) -> Winners | None:
    """Beside all networks of their space within the budget: the searches', for the recorded networks are
    points of a larger one too."""
    searches = evidence.of_role(evidence.roles.paper_searches)
    if not searches:
        return None
    space = unet_space(space_of(next(iter(searches.values()))))
    others = winners.networks_within(space, md.budget)
    return winners.winners_of(searches, md.architecture, others, paper, space)


def _other_proxies(evidence: RecordedEvidence) -> dict[str, RecordedTable]:
    longer = {agreement_text.LONGER_PROXY: evidence.long} if evidence.long else {}
    return {**longer, **evidence.proxies}


def _sections(
    evidence: RecordedEvidence,
    table: RecordedTable,
    references: Mapping[str, ReferenceNetwork],
    page: EvidencePage,
    answers: Answers,
) -> list[Chapter]:
    md = references["md"].architecture
    correlations = page.plot("correlation", "Rank correlation by rung and metric")
    decisions = page.plot("effects", "Effects of the decisions")
    scores = page.plot("scores", "Scores against GMACs")
    curves = page.plot("curves", "Learning curves of the space-filling networks")
    proxies = page.plot("proxies", "The same networks under both proxies")
    agreeing = page.plot("agreement", "What proxies agree with the reference, against their price")
    widths = page.plot("width", "FID and CLIP against the innermost width, at one budget")
    sections = [
        noise.noise_chapter(evidence, answers.noise),
        correlation.correlation_chapter(evidence, answers.ranks, correlations),
        prediction_text.prediction_chapter(answers.forecasts, table.rungs),
        effects_text.effects_chapter(answers.effect_sizes, answers.main_effects, decisions),
        standing.standing_chapter(answers.places, answers.places_longer, scores),
        properties.properties_chapter(answers.properties, answers.properties_of_sound, answers.alike, curves),
        winners_text.winners_chapter(evidence.roles.searches, answers.winners, md),
        transfer.transfer_chapter(answers.transfer, proxies),
        width.width_chapter(answers.width, widths),
        winners_text.winners_chapter(
            evidence.roles.paper_searches, answers.paper_winners, md, winners_text.PAPER_SEARCHES
        ),
        agreement_text.agreement_chapter(answers.agreement, agreeing),
    ]
    return [*sections, limits.limits_chapter(sections, answers.noise, table, mean_run_seconds(table))]


def _plot(
    evidence: RecordedEvidence,
    table: RecordedTable,
    references: Mapping[str, ReferenceNetwork],
    page: EvidencePage,
    answers: Answers,
) -> None:
    """The plots of the sections that have something to show."""
    named, folder = {name: each.architecture for name, each in references.items()}, page.plots_folder
    if answers.ranks.networks >= correlation.FEWEST_TO_CORRELATE:
        plots.plot_correlations(folder / "correlation.png", answers.ranks)
    if any(each.pairs for each in answers.effect_sizes):
        plots.plot_effects(folder / "effects.png", answers.effect_sizes)
    if answers.properties:
        plots.plot_scores(folder / "scores.png", table, evidence.spread, named, answers.noise)
        plots.plot_curves(folder / "curves.png", table, evidence.spread, named)
    if answers.transfer is not None:
        plots.plot_proxies(folder / "proxies.png", answers.transfer)
    if answers.width is not None:
        width_plot.plot_width(folder / "width.png", answers.width)
    if answers.agreement is not None:
        agreement_plot.plot_agreement(folder / "agreement.png", answers.agreement)


def _beginning(section: Chapter) -> str:
    lines = [f"- {line}" for line in section.findings] or [f"- {section.parts[0]}"]
    return "\n".join([f"**{section.title}**", "", *lines])


def _waits(section: Chapter) -> bool:
    return len(section.parts) == 1 and section.parts[0].startswith(NOT_RECORDED)
