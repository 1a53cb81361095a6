"""The first half of the page: what won, how sure that is, and what it looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from analysis.findings import steps_saved
from analysis.report import figures
from analysis.report.html import card, listing, section
from analysis.report.page import Page
from analysis.report.pictures import picture_cards
from search.formats import counted, duration, gmacs, label, millions, share, size
from search.runs.header import noise_of, objectives_of, trials_asked
from search.statistics.verdicts import Verdict
from space.budget import bounds_in_words
from space.difference import difference
from space.prices.macs import price

UNSURE = {  # verdict -> how the claim says it
    "undecided": "undecided against",
    "equivalent": "equivalent to",
    "mixed": "better in one score and worse in the other than",
}


def headline(page: Page) -> str:
    header = page.history.header
    began = header.get("time")
    when = f"{datetime.fromtimestamp(began, UTC):%d %B %Y, %H:%M} UTC" if began else "not begun"
    named = [("sampler", header.get("sampler", {})), ("stopping", header.get("stopping", {}))]
    facts = [
        "Architecture search",
        page.name,
        when,
        f"budget {_budget_words(header.get('budget', {}))}",
        *(f"{kind} {settings.get('name', '?')}" for kind, settings in named if settings),
        f"seed {header.get('seed', '?')}",
    ]
    lines = [f"<p class='lead'>{escape(line)}</p>" for line in _lead(page)]
    kicker = escape(" · ".join(facts))
    return (
        f'<header class="top"><div class="kicker">{kicker}</div>'
        f"<h1>{escape(_claim(page))}</h1>{''.join(lines)}</header>"
    )


def _budget_words(budget: dict[str, Any]) -> str:
    return " and ".join(bounds_in_words(budget)) or "none"


def _claim(page: Page) -> str:
    """The one sentence at the top; it claims no more than the verdicts do."""
    trials, winner = page.history.trials, page.winner
    if not trials:
        return "No trial has been started yet."
    if winner is None:
        if all(trial.state == "failed" for trial in trials):
            return "Every trial failed: nothing can be said about any architecture."
        return "Nothing is decided: no trial has been trained to its full length."
    said = _words_of(page.verdicts, winner.name)
    name = winner.name.capitalize()
    if not said:
        return f"{name} leads on one run; nothing has confirmed it."
    if "worse" in said:
        rest = f", better than {said['better']}" if "better" in said else ""
        return f"{name} led the search, but trained again it is worse than {said['worse']}{rest}."
    unsure = "; ".join(f"{phrase} {said[word]}" for word, phrase in UNSURE.items() if word in said)
    if "better" in said:
        return f"{name} is better than {said['better']} beyond the noise{'; ' + unsure if unsure else ''}."
    return f"{name} leads the search; {unsure}."


def _words_of(verdicts: Sequence[Verdict], name: str) -> dict[str, str]:
    """Verdict -> the networks that it is said of, from the side of `name`."""
    turned: dict[str, str] = {"better": "worse", "worse": "better"}
    sides = [(str(v.word), v.against) for v in verdicts if v.name == name]
    sides += [(turned.get(v.word, v.word), v.name) for v in verdicts if v.against == name]
    return {word: _and([other for said, other in sides if said == word]) for word, _ in sides}


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _lead(page: Page) -> Iterator[str]:
    history, winner = page.history, page.winner
    asked, ended = trials_asked(history), sum(t.state != "running" for t in history.trials)
    if ended < asked and not page.running:
        under_way = sum(trial.state == "running" for trial in history.trials)
        yield (
            f"This search is not finished: {ended} of {asked} trials had ended and {under_way} were under "
            f"way when this page was written. If it was interrupted, go on with resume={page.folder.name}."
        )
    if winner is not None:
        yield f"The winner has {size(winner.cost)} at the paper's scale" + _beside_references(page) + "."
    if page.lead is not None:
        yield page.lead.sentence()
    for verdict in page.verdicts:
        if winner is None or winner.name not in (verdict.name, verdict.against):
            continue
        sentence = verdict.sentence()
        yield f"{sentence[0].upper()}{sentence[1:]}."
    waiting = sum(trial.state == "running" for trial in history.confirmations)
    if waiting:
        were = "was" if waiting == 1 else "were"
        yield f"{counted(waiting, 'confirmation run')} {were} under way when this page was written."


def _beside_references(page: Page) -> str:
    costs = {label(name): price(architecture) for name, architecture in page.references.items()}
    said = [f"{name}: {millions(cost.parameters)}, {gmacs(cost.gmacs)}" for name, cost in costs.items()]
    return f" ({'; '.join(said)})" if said else ""


def tiles(page: Page) -> str:
    history = page.history
    states = Counter(trial.state for trial in history.trials)
    asked = trials_asked(history)
    saved = steps_saved(history.trials)
    worked = sum(trial.seconds for trial in history.by_key.values())
    refused = Counter(rejection.kind for rejection in history.rejections)
    shown = [
        (f"{states['complete']:,} of {asked:,}", "trials trained to full length"),
        (f"{states['halted']:,}", "halted early"),
        (f"{states['failed']:,}", "failed"),
        (f"{refused['budget']:,}", "proposals over budget, never trained"),
        (share(saved.share), f"of training steps saved by stopping ({saved.steps:,})"),
        (duration(worked), "of worker time"),
    ]
    cells = [
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in shown
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def scope(page: Page) -> str:
    """What was measured, and what it cannot say."""
    header, objectives, noise = page.history.header, objectives_of(page.history), noise_of(page.history)
    if not header:
        return ""
    proxy = header.get("proxy", {})
    divisor = proxy.get("width_divisor", 1)
    data = header.get("data", {}).get("name", "unnamed")
    steps = (header.get("rungs") or ["?"])[-1]
    if divisor == 1:
        trained = f"Candidates were trained at full width for {steps} steps on the data set {data}."
    else:
        trained = (
            f"Candidates were trained as proxies: the same architecture with every width divided by "
            f"{divisor}, for {steps} steps on the data set {data}. A ranking at this size need not hold at "
            "full width."
        )
    lines = [trained]
    if "embedded" in objectives.fid or "embedded" in objectives.clip:
        lines.append(
            f"{objectives.fid} and {objectives.clip} come from a small network trained on the same data. "
            "They are not the Inception FID and ViT-B/32 CLIP score of papers and cannot be compared with "
            "published figures."
        )
    lines.append(
        "Parameters and GMACs (multiply-accumulates) are counted at the paper's scale, not the proxy's."
    )
    if noise is not None:
        at = noise.at(steps if isinstance(steps, int) else 0)
        lines.append(
            f"One run's noise from seed to seed, at {at.step} steps: {share(at.fid_relative)} of the FID, "
            f"{at.clip:.3f} of CLIP (standard deviations). Two networks that are equal are told apart by "
            f"mistake with at most {share(noise.level)} in each comparison, however often one looks; what is "
            "not told apart is undecided."
        )
    return card(f"<h3>What this can and cannot decide</h3>{listing(lines)}", "note")


def score_section(page: Page) -> str:
    chart = page.chart("pareto", figures.pareto(page.history, page.winner))
    if not chart:
        return section("FID and CLIP", "No trial has been trained to its full length yet.")
    about = (
        "Best is the top left. Two trials whose bars do not overlap in a score differ beyond its stated "
        "noise. "
        "Diamonds are means of confirmation runs, with other seeds than the search's; halted trials, and "
        "many of earlier runs, can be switched on in the legend: the halted at the scores of the step "
        "they were stopped at."
    )
    return section("FID and CLIP", about, chart)


def winner_section(page: Page) -> str:
    winner = page.winner
    if winner is None:
        return ""
    cards = []
    for name, architecture in page.references.items():
        lines = [line.replace(" -> ", " → ") for line in difference(architecture, winner.architecture)]
        told = listing(lines) if lines else "<p>It is the same network.</p>"
        cards.append(card(f"<h3>From {escape(label(name))} to {escape(winner.name)}</h3>{told}"))
    yaml = card(
        f"<h3>{escape(winner.name)}, <code>{winner.architecture.id}</code></h3>"
        f"<pre>{escape(winner.architecture.to_yaml())}</pre>"
    )
    about = "In the paper's units, as best.yaml holds it, and what changes from the reference networks."
    return section("The winner", about, yaml, '<div class="grid" style="margin-top:16px">', *cards, "</div>")


def picture_section(page: Page) -> str:
    cards = picture_cards(page.folder, page.history, page.winner)
    if not cards:
        return section("Pictures", "No pictures lie in the run folder.")
    about = "The same prompts and the same initial noise for every network, after the steps stated."
    return section("Pictures", about, f'<div class="pictures">{"".join(map(card, cards))}</div>')
