"""How quantities are written for people: one place, so that tables and report agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from search.runs.record import Trial
from search.strategy import Job
from space.architecture import Architecture
from space.autoencoder import Autoencoder, ImageLevel
from space.candidates import Candidate
from space.levels import Level
from space.prices.macs import Cost

COST_UNITS = {"latency_ms": "ms", "gmacs": "GMACs"}
_LABELS = {"md": "MD", "md_lite": "MD-Lite"}


def label(name: str) -> str:
    """A network's name as a sentence says it: MD for md, trial 7 for itself."""
    return _LABELS.get(name, name)


def run_name(run: Trial | Job) -> str:
    """Trial 7 and the runs that confirm it, told apart."""
    return run.name if run.purpose != "confirm" else f"confirmation of {run.name}, seed {run.seed}"


def millions(parameters: int | float) -> str:
    """387376712 -> 387.4 M; small networks keep two digits (0.76 M)."""
    value = parameters / 1e6
    return f"{value:,.1f} M" if value >= 10 else f"{value:.2f} M"


def gmacs(value: float) -> str:
    return f"{value:,.{gmacs_decimals(value)}f} GMACs"


def gmacs_decimals(value: float) -> int:
    """As tables hold it: of decoders of small images more."""
    return 1 if value >= 1 or value == 0 else 4


def cost_in_words(value: float | None, kind: str) -> str:
    """What a strategy's record says that a network costs: 183.6 GMACs, 92.14 ms; it may not be known."""
    unit = COST_UNITS[kind]
    return f"unknown {unit}" if value is None else f"{value:.4g} {unit}"


def size(cost: Cost) -> str:
    return f"{millions(cost.parameters)} parameters, {gmacs(cost.gmacs)}"


def share(value: float) -> str:
    return f"{value:.0%}" if value == 0 or value >= 0.01 else f"{value:.1%}"


def duration(seconds: float) -> str:
    """3723 -> 1 h 2 min; 83 -> 1 min 23 s; 4.2 -> 4.2 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def counted(number: int, noun: str) -> str:
    """1, "proposal" -> 1 proposal; 2 -> 2 proposals."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def score(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def state_word(state: str) -> str:
    """How people read a recorded state: what is stored as halted was stopped."""
    return "stopped" if state == "halted" else state


def states_in_words(trials: Sequence[Trial]) -> str:
    """`12 trials: 8 complete, 3 stopped, 1 failed`."""
    states = Counter(trial.state for trial in trials)
    known = ", ".join(
        f"{states[s]} {state_word(s)}" for s in ("complete", "halted", "failed", "running") if states[s]
    )
    return f"{counted(len(trials), 'trial')}: {known}" if trials else "no trials"


def ending(trial: Trial) -> str:
    """Why a trial ended, in words also where nothing went wrong."""
    if trial.reason:
        return trial.reason
    words = {"complete": "trained to full length", "running": "under way or interrupted"}
    return words.get(trial.state, "no reason recorded")


def summary_lines(candidate: Candidate) -> list[str]:
    """A network in a few short lines: one per level, and one of what holds for all of it; of an autoencoder
    its decoder alone."""
    return _of_decoder(candidate) if isinstance(candidate, Autoencoder) else _of_unet(candidate)


def _of_decoder(autoencoder: Autoencoder) -> list[str]:
    decoder = autoencoder.decoder
    lines = [_image_level_line(index, level) for index, level in enumerate(decoder.levels, 1)]
    if decoder.middle is None:
        return [*lines, "no middle"]
    attends = "attention" if decoder.middle.attention else "no attention"
    return [*lines, f"middle: {decoder.middle.conv} x{decoder.middle.blocks}, {attends}"]


def _image_level_line(number: int, level: ImageLevel) -> str:
    return f"level {number}: {level.channels} ch, {level.conv} x{level.blocks}"


def _of_unet(architecture: Architecture) -> list[str]:
    lines = [_level_line(index, level) for index, level in enumerate(architecture.levels, 1)]
    shared = "shared K/V" if architecture.shared_key_value else "separate K/V"
    return [
        *lines,
        f"feed-forward x{architecture.feed_forward_ratio}, {architecture.activation}, "
        f"{architecture.attention}, {shared}",
    ]


def _level_line(number: int, level: Level) -> str:
    attention = [name for name, has in (("SA", level.self_attention), ("CA", level.cross_attention)) if has]
    layers = f", layers {_counts(level.down)} down, {_counts(level.up)} up" if level.layers else ""
    where = f" ({' + '.join(attention) or 'no attention'})" if level.layers else ""
    blocks = f"{len(level.down)}+{len(level.up)}"
    return f"level {number}: {level.channels} ch, {level.conv} x{blocks}{layers}{where}"


def _counts(layers: tuple[int, ...]) -> str:
    return "+".join(map(str, layers))
