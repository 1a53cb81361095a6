"""The decisions' effects in words and tables, beside what the paper says."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evidence.effects import FEWEST_PAIRS, MOST_PAIRS_COUNTED, Effect, EffectSize, Needed, word_of
from analysis.evidence.main_effects import MainEffect
from analysis.evidence.metrics import Metric
from analysis.evidence.resampling import ERROR_RATE
from analysis.evidence.text import MINUS, Chapter, hours, listed, markdown, missing, p_value
from search.formats import counted
from search.statistics.verdicts import Interval

_TITLE = "The paper's decisions, by matched pairs"


def effects_chapter(found: Sequence[EffectSize], overall: Sequence[MainEffect], plot: str) -> Chapter:
    if not any(size.pairs for size in found):
        how = "networks that differ in one decision (`mdsearch evidence pairs`, run `pairs`)"
        return missing(_TITLE, how)
    decided = [size for size in found if size.word in ("better", "worse", "mixed", "no worse")]
    parts = [
        _intro(found),
        markdown([_row(size) for size in found]),
        plot,
        "### Beside the paper\n\nBetter and worse of the paper's side, with all tests counted. *No worse*: "
        f"not worse by {_margin_text(found)}, in either, one-sided, with all decisions counted (Holm, "
        f"{ERROR_RATE:.0%} for all together); the margin was stated beforehand, with the noise.",
        markdown([_beside_paper(size) for size in found]),
        "### What would decide half of it\n\n"
        "*These find* is the effect that the pairs at hand would find with 80 % probability, at the "
        "level that counts all tests: smaller ones may be there. Then the pairs that would find half of "
        "the effect (where one is decided) or half of what the interval leaves open, and what training "
        "both networks of each takes. Where there are too few pairs, the deviation of one pair by noise "
        "alone, and half of it as the effect. *No worse* is how many pairs would show that the paper's side "
        "is no worse by the margin, if both are equal.",
        markdown([_needed_row(size) for size in found]),
    ]
    if overall:
        parts += [_intro_overall(), markdown([_overall_row(each, found) for each in overall])]
    findings = (*_findings(found, decided), *_overall_findings(overall))
    return Chapter(_TITLE, tuple(parts), findings, tuple(_limits(found)))


def interval_text(metric: Metric, interval: Interval | None) -> str:
    """A difference of goodness as a change of the score, the ends in rising order of the score."""
    if interval is None:
        return "-"
    ends = [interval.low, interval.high] if metric.sign > 0 else [interval.high, interval.low]
    middle, first, last = map(metric.change_text, (interval.middle, *ends))
    return f"{middle} ({first} to {last})"


def _intro(found: Sequence[EffectSize]) -> str:
    tests = sum(effect.interval is not None for size in found for effect in size.effects)
    return (
        "Two networks of a pair differ in one decision and in nothing else, and were trained with the same "
        "seed; each difference is the paper's side less the other, at the last rung. Means over pairs with "
        "Student's 95 % interval, each interval for itself. Below zero is better for FID (given as a share "
        f"of it), above zero for CLIP. The verdicts count that {tests} effects of {len(found)} decisions "
        f"were tested (Holm, {ERROR_RATE:.0%} for all together); *in favour* is how many pairs have the "
        f"paper's side ahead. A decision of fewer than {FEWEST_PAIRS} pairs is not tested. *At MD* is the "
        "one pair of MobileDiffusion itself, with the interval that noise gives to it; a dash where its "
        "partner was not trained (MD is near the budget, and some are over it)."
    )


def _row(size: EffectSize) -> dict[str, str]:
    fid, clip = size.effects
    at_md, decision = size.at_md, size.decision
    return {
        "decision": f"{decision.name}: {decision.papers}, not {decision.other}{_narrower(size)}",
        "pairs": str(len(size.pairs)),
        "FID": interval_text(fid.metric, fid.interval),
        "in favour by FID": _in_favour(fid),
        "CLIP": interval_text(clip.metric, clip.interval),
        "in favour by CLIP": _in_favour(clip),
        "parameters": _cost(size.parameters),
        "GMACs": _cost(size.macs),
        "at MD: FID": interval_text(fid.metric, at_md[0]) if at_md else "-",
        "at MD: CLIP": interval_text(clip.metric, at_md[1]) if at_md else "-",
    }


def _narrower(size: EffectSize) -> str:
    """By how much the innermost width of the other side is smaller, where it is."""
    widths = [(pair.papers.levels[-1].channels, pair.other.levels[-1].channels) for pair in size.pairs]
    shares = [1 - other / papers for papers, other in widths]
    return f" (by {min(shares):.0%} to {max(shares):.0%} of the width)" if any(shares) else ""


def _intro_overall() -> str:
    return (
        "### Over the whole space\n\n"
        "The same question asked of the space-filling networks, none of which was made for it: a regression "
        "of the scores on all choices at once, which takes their effects for additive. It is an average over "
        "networks that are mostly unlike MD, with 95 % intervals (HC3), each for itself; a star where it "
        "stands with all effects counted (Bonferroni, 5 %). *As the pairs* says whether it points where the "
        "pairs' mean does, in FID and in CLIP."
    )


def _overall_findings(overall: Sequence[MainEffect]) -> list[str]:
    lines = []
    for each in overall:
        word = word_of([effect.sign for effect in each.effects], each.networks)
        if word in ("better", "worse", "mixed"):
            effects = [f"{e.metric.name} {interval_text(e.metric, e.interval)}" for e in each.effects]
            lines.append(
                f"On average over the space (regression, {each.networks} networks): {each.decision.name}, "
                f"{each.decision.papers} and not {each.decision.other}, is {word} ({', '.join(effects)})."
            )
    return lines


def _overall_row(each: MainEffect, found: Sequence[EffectSize]) -> dict[str, str]:
    size = next(size for size in found if size.decision == each.decision)
    pairs = [effect.interval for effect in size.effects]
    row = {
        "decision": f"{each.decision.name}: {each.decision.papers}, not {each.decision.other}",
        "networks": str(each.networks),
    } | {
        effect.metric.name: interval_text(effect.metric, effect.interval) + (" *" if effect.sign else "")
        for effect in each.effects
    }
    same = [
        "-" if one is None else "yes" if one.middle * effect.interval.middle > 0 else "no"
        for one, effect in zip(pairs, each.effects, strict=True)
    ]
    return row | {"as the pairs": ", ".join(same)}


def _in_favour(effect: Effect) -> str:
    return f"{effect.in_favour} of {len(effect.differences)}" if effect.differences else "-"


def _cost(change: Interval | None) -> str:
    """Mean, least and most, as shares."""
    if change is None:
        return "-"
    middle, low, high = (
        f"{value:+.1%}".replace("-", MINUS) for value in (change.middle, change.low, change.high)
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _beside_paper(size: EffectSize) -> dict[str, str]:
    fid, clip = size.effects
    decision = size.decision
    return {
        "decision": f"{decision.name}: {decision.papers}",
        "the paper says": f"{decision.says} (section {decision.section})",
        "so it should be": decision.claim,
        "here": size.word,
        "p, adjusted: FID": "-" if fid.interval is None else p_value(fid.p_adjusted),
        "p, adjusted: CLIP": "-" if clip.interval is None else p_value(clip.p_adjusted),
        "worse by the margin: p, adjusted": "-" if fid.interval is None else p_value(size.no_worse_p),
        "the paper": size.agreement if size.pairs else "-",
    }


def _needed_row(size: EffectSize) -> dict[str, str]:
    row = {"decision": size.decision.name, "no worse: pairs": _count(size.no_worse_pairs)}
    for each in size.needed:
        row |= {
            f"{each.metric.name}: these find": "-"
            if each.detectable is None
            else each.metric.change_text(each.detectable),
            f"{each.metric.name}: an effect of": each.metric.change_text(each.size),
            f"{each.metric.name}: pairs": _pairs(each),
            f"{each.metric.name}: core-hours": "-"
            if each.pairs >= MOST_PAIRS_COUNTED
            else hours(each.core_hours),
        }
    return row


def _pairs(each: Needed) -> str:
    return _count(each.pairs)


def _count(pairs: int) -> str:
    return f"{pairs:,}" if pairs < MOST_PAIRS_COUNTED else f"{MOST_PAIRS_COUNTED:,} or more"


def _margin_text(found: Sequence[EffectSize]) -> str:
    """+5% in FID or -0.010 in CLIP"""
    first = found[0]
    sizes = zip(first.effects, first.margins, strict=True)
    return " or ".join(f"{e.metric.change_text(-margin)} in {e.metric.name}" for e, margin in sizes)


def _findings(found: Sequence[EffectSize], decided: Sequence[EffectSize]) -> list[str]:
    tested = [size for size in found if len(size.pairs) >= FEWEST_PAIRS]
    lines = [
        f"Of {counted(len(found), 'decision')} of the paper {len(tested)} could be tested by {FEWEST_PAIRS} "
        f"pairs or more; {len(decided)} {'is' if len(decided) == 1 else 'are'} decided here, the others are "
        "not."
    ]
    lines += [_decided(size) for size in decided]
    claimed = [size for size in tested if size.decision.claim == "no worse"]
    shown = [size for size in claimed if size.is_no_worse]
    if claimed:
        lines.append(
            f"Of {counted(len(claimed), 'decision')} that should cost nothing {len(shown) or 'none'} "
            f"{'are' if len(shown) > 1 else 'is'} known to be no worse by {_margin_text(found)}"
            f"{f': {_names(shown)}' if shown else ''}."
        )
    rest = [size for size in tested if size not in decided]
    if rest:
        lines.append(f"Undecided: {_names(rest)}.")
    return lines


def _decided(size: EffectSize) -> str:
    decision, (fid, clip) = size.decision, size.effects
    than = f"{size.word} than" if size.word != "mixed" else "better in one score and worse in the other than"
    return (
        f"{_capital(decision.name)}: {decision.papers} is {than} {decision.other} (FID "
        f"{interval_text(fid.metric, fid.interval)}, CLIP {interval_text(clip.metric, clip.interval)}, "
        f"{len(size.pairs)} pairs). After the paper it should be {decision.claim}: {size.agreement}."
    )


def _names(effect_sizes: Sequence[EffectSize]) -> str:
    return listed([size.decision.name for size in effect_sizes])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _limits(found: Sequence[EffectSize]) -> list[str]:
    return [_limit(size) for size in found if size.word in ("undecided", "too few pairs")]


def _limit(size: EffectSize) -> str:
    cheaper = min(size.needed, key=lambda each: each.pairs)
    metric, pairs = cheaper.metric, counted(len(size.pairs), "pair")
    reach = (
        ""
        if cheaper.detectable is None
        else f" these would find {metric.change_text(cheaper.detectable)} in {metric.name};"
    )
    claim = ""
    if size.decision.claim == "no worse":
        claim = f" That it is no worse, if so, takes {_count(size.no_worse_pairs)} pairs."
    return (
        f"{_capital(size.decision.name)} ({size.word}, {pairs}):{reach} an effect of "
        f"{metric.change_text(cheaper.size)} in {metric.name} takes {_pairs(cheaper)} pairs, "
        f"{hours(cheaper.core_hours)} core-hours.{claim}"
    )
