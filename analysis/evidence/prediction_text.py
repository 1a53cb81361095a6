"""What predicts the end, in words and tables."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evidence.metrics import SOUND
from analysis.evidence.prediction import (
    FEWEST_TO_FORECAST,
    FOLDS,
    KEPT_SHARES,
    TOP_SHARES,
    ForecastSetting,
    Predicted,
)
from analysis.evidence.text import (
    Chapter,
    correlation_text,
    markdown,
    missing,
    share_with_interval,
    with_interval,
)

_TITLE = "What predicts the end"


def prediction_chapter(found: Sequence[ForecastSetting], steps: Sequence[int]) -> Chapter:
    """`steps` are the rungs of the table."""
    if not found:
        return missing(_TITLE, f"{FEWEST_TO_FORECAST} space-filling networks of full length (run `table`)")
    parts = [_intro()]
    for setting in found:
        flatter = "" if setting.independent else " Forecast and end share their seed, which flatters."
        parts.append(
            f"### Held against {setting.truth}, {setting.networks} networks\n\n{flatter.strip()}".strip()
        )
        parts.append(markdown([_row(each, setting.sound) for each in setting.predicted]))
    if not found[0].independent:
        parts.append(
            "Not recorded yet: the same networks under other seeds (runs `seeds-*`), without which noise "
            "that a run's rungs share flatters every forecast."
        )
    return Chapter(_TITLE, tuple(parts), tuple(_findings(found, steps)))


def _intro() -> str:
    return (
        "The true order of networks is that in which a search names its best: by front of FID and CLIP, "
        "then by hypervolume. *Order* is a forecast's rank correlation with it (95 %, bootstrap over "
        "networks); *behind* by how much it is below the best forecast of the same rung, which for a "
        "difference that holds zero is undecided. What a stopping rule needs is the rest: how much of the "
        "true best 20 % (5 %) is among the best quarter (half) by forecast, with the exact 95 % interval of "
        f"that share. The ridge regression is fitted to other networks than it forecasts ({FOLDS} folds). "
        f"*Among sound* is the same order, and how far behind, among networks that are {SOUND}. Step 0 needs "
        "no training. The improvement since the start is no forecast of its own: all networks "
        "share the scores of one untrained network, so it orders them as the score itself does."
    )


def _row(each: Predicted, among_sound: ForecastSetting | None) -> dict[str, str]:
    caught = {
        f"best {top:.0%} in the best {'quarter' if kept == 0.25 else 'half'}": share_with_interval(found)
        for (top, kept), found in each.caught.items()
    }
    row = {
        "step": str(each.step),
        "forecast": each.name,
        "order": with_interval(each.order),
        "behind": _behind(each),
    }
    if among_sound is not None:
        own = among_sound.at(each.name, each.step)
        row[f"among sound (n = {among_sound.networks})"] = "-" if own is None else with_interval(own.order)
        row["behind among sound"] = "-" if own is None else _behind(own)
    return row | caught


def _behind(each: Predicted) -> str:
    return "best" if each.best else with_interval(each.behind)


def _findings(found: Sequence[ForecastSetting], steps: Sequence[int]) -> list[str]:
    """Of the first truth at every rung before the end, of the longer training at the end."""
    lines = [_finding(found[0], step) for step in steps[:-1]]
    return lines + [
        _finding(setting, steps[-1]) for setting in found[1:] if setting.predicted[-1].step == steps[-1]
    ]


def _finding(setting: ForecastSetting, step: int) -> str:
    of_step = [each for each in setting.predicted if each.step == step]
    best = next(each for each in of_step if each.best)
    tied = [each.name for each in of_step if not each.best and (each.behind is None or each.behind.low <= 0)]
    caught = best.caught[TOP_SHARES[0], KEPT_SHARES[1]]
    return (
        f"At step {step} the best forecast of {setting.truth} is {best.name} (rank correlation "
        f"{with_interval(best.order)}, {setting.networks} networks); its better half holds "
        f"{share_with_interval(caught)} of the best {TOP_SHARES[0]:.0%}. {_tied(tied, len(of_step))}"
        f"{_sound_finding(setting.sound, step)}"
    )


def _sound_finding(sound: ForecastSetting | None, step: int) -> str:
    if sound is None:
        return ""
    of_step = [each for each in sound.predicted if each.step == step]
    best = next(each for each in of_step if each.best)
    return (
        f" Among networks that are {SOUND} it is {best.name} "
        f"({correlation_text(best.order, sound.networks)}), the highest of {len(of_step)}, which flatters it."
    )


def _tied(tied: Sequence[str], of: int) -> str:
    if not tied:
        return "Every other forecast is behind it beyond the noise."
    if len(tied) > 3:
        return f"{len(tied)} of the {of - 1} others cannot be told from it."
    return f"Not told from it: {'; '.join(tied)}."
