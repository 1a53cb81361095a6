"""What the page of a system says first: images, scores and latency. A function a part, which gives its
template the fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analysis.report.html import Cell, PageTable, Row, badge_cell, number
from analysis.report.sections.images import MOST_PIXELS_WIDE, image_address
from analysis.system.facts import Latency, SampleSet, System, Took
from evaluators.protocols.protocol import differences
from evaluators.protocols.score import Score
from search.formats import counted, duration, gmacs, millions
from space.prices.macs import price
from space.shared.plain import InputError

_METRICS = {"fid": "FID", "clip": "CLIP"}
RUNTIME_WORDS = {
    "eager": "PyTorch",
    "compiled": "PyTorch, compiled",
    "onnx": "ONNX Runtime",
    "onnx_int8": "ONNX Runtime, int8",
}
_GAP = 4  # pixels between images


# ---------------------------------------------------------------------- the first screen


def system_headline(system: System) -> dict[str, Any]:
    steps = [_in_a_line(system, one) for one in system.samples]
    return {
        "facts": ["Text-to-image system", system.record.name, *_kinds(system)],
        "claim": _claim(system),
        "lines": steps,
    }


def _kinds(system: System) -> Iterator[str]:
    if system.described is not None:
        yield f"{system.described[1].image_size_px} px"
    if system.latency is not None:
        yield system.latency.device


def _claim(system: System) -> str:
    """How fast an image is, in one step and in the most."""
    if not system.samples:
        return f"{system.record.name}: what its stages made"
    first, last = system.samples[0], system.samples[-1]
    times = [_image_ms(system, one) for one in (first, last)]
    if first is last or None in times:
        return f"An image in {first.title}" + ("" if times[0] is None else f": {times[0]}")
    return f"An image in {first.title} takes {times[0]}, in {last.title} {times[1]}"


def _image_ms(system: System, one: SampleSet) -> str | None:
    """By the fastest runtime; None where that was not measured."""
    best = _fastest(system)
    took = None if system.latency is None or best is None else system.latency.image(best, one.evaluations)
    return None if took is None else _ms(took)


def _in_a_line(system: System, one: SampleSet) -> str:
    known = one.sheet.scores.values() if one.sheet is not None else ()
    scores = ", ".join(f"{_named(score)} {score_in_words(score)}" for score in known if _is_first(score))
    return f"{one.title} ({one.source}){f': {scores}' if scores else ''}."


def _is_first(score: Score) -> bool:
    """Of the networks that look at images, those that decide: not the random one."""
    return "random" not in score.name


def system_tiles(system: System) -> dict[str, Any]:
    return {"tiles": list(_tiles(system))}


def _tiles(system: System) -> Iterator[tuple[str, str]]:
    if system.architecture is not None:
        cost = price(system.architecture)
        yield millions(cost.parameters), "parameters of the UNet at the paper's scale"
        yield gmacs(cost.gmacs), "of one evaluation there, 512 px"
    if system.described is not None:
        cost = price(system.described[0])
        yield millions(cost.parameters), "parameters as trained here"
    best = _fastest(system)
    if best is not None and system.latency is not None:
        unet = system.latency.of("unet", best)
        assert unet is not None
        yield _ms(unet), f"one evaluation of the UNet, {RUNTIME_WORDS[best]}"
    seconds = sum(stage.seconds for stage in system.record.stages.values())
    yield duration(seconds), f"for all {counted(len(system.record.stages), 'stage')}"


def system_scope(system: System) -> dict[str, Any] | None:
    if system.described is None:
        return None
    built, settings = system.described
    divisor = None
    if system.architecture is not None:
        divisor = round(system.architecture.levels[0].channels / built.levels[0].channels)
    embedded = any(
        one.sheet is not None and "embedded" in " ".join(one.sheet.scores) for one in system.samples
    )
    return {"divisor": divisor, "size": settings.image_size_px, "embedded": embedded}


# ---------------------------------------------------------------------- images and scores


def system_images(system: System) -> dict[str, Any] | None:
    if not system.samples:
        return None
    captions = [one.captions() for one in system.samples]
    same = all(each == captions[0] for each in captions)
    strips = [
        {"title": one.title, "caption": one.source, "source": image_address(_strip(one.images()))}
        for one in system.samples
    ]
    return {"prompts": captions[0] if same else [], "strips": strips, "columns": len(captions[0])}


def _strip(images: np.ndarray) -> Any:
    """Side by side, each pixel some pixels, with gaps that let the page through."""
    from PIL import Image

    times = max(1, (MOST_PIXELS_WIDE // len(images) - _GAP) // images.shape[2])
    large = images.repeat(times, 1).repeat(times, 2)
    opaque = np.pad(large, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=255)
    spaced = np.pad(opaque, ((0, 0), (0, 0), (0, _GAP), (0, 0)))
    return Image.fromarray(np.concatenate(list(spaced), axis=1)[:, :-_GAP])


def system_scores(system: System) -> dict[str, Any] | None:
    scored = [one for one in system.samples if one.sheet is not None]
    if not scored:
        return None
    names = list(dict.fromkeys(name for one in scored for name in _scores(one)))
    heads = ["images by", "UNet evaluations", "images"]
    for name in names:
        heads += [_named(_scores(scored[0])[name]), "95 %"]
    heads.append(f"beside {scored[0].title}")
    rows = [Row(_score_cells(one, names, scored[0]), "winner" if one.is_one_step else "") for one in scored]
    return {"table": PageTable(heads, rows, numbers=range(1, len(heads) - 1)), "first": scored[0].title}


def _scores(one: SampleSet) -> dict[str, Score]:
    """Those that decide, by name."""
    known = {} if one.sheet is None else one.sheet.scores
    return {name: score for name, score in known.items() if _is_first(score)}


def _score_cells(one: SampleSet, names: list[str], first: SampleSet) -> list[Cell]:
    cells = [Cell(f"{one.title}: {one.source.partition(';')[0]}", css="wide"), number(one.evaluations)]
    cells.append(number(one.count))
    for name in names:
        score = _scores(one).get(name)
        cells += [Cell(css="number")] * 2 if score is None else _value_cells(score)
    cells.append(badge_cell(_verdict(one, first)) if one is not first else Cell())
    return cells


def _value_cells(score: Score) -> list[Cell]:
    interval = score.interval
    bounds = "" if interval is None else f"{interval.low:.4g} to {interval.high:.4g}"
    return [Cell(f"{score.value:.4g}", score.value, "number"), Cell(bounds, css="number")]


def _verdict(one: SampleSet, first: SampleSet) -> str:
    """By all scores together, beyond their intervals."""
    assert one.sheet is not None and first.sheet is not None
    try:
        words = {
            name: score.compare(first.sheet.scores[name], _of_generation(score, first.sheet.scores[name]))
            for name, score in one.sheet.scores.items()
            if name in first.sheet.scores and _is_first(score)
        }
    except InputError:
        return "does not compare"
    found = set(words.values()) - {"undecided"}
    return "undecided" if not found else found.pop() if len(found) == 1 else "mixed"


def _of_generation(one: Score, other: Score) -> list[str]:
    """How the samples were generated is what is compared."""
    return [name for name in differences(one.protocol, other.protocol) if name.startswith("drawing.")]


def _named(score: Score) -> str:
    """FID by embedded-clip of fid_embedded_clip."""
    metric, _, features = score.name.partition("_")
    word = _METRICS.get(metric, metric.upper())
    return f"{word} ({features.replace('_', ' ')})" if features not in ("embedded", "embedded_clip") else word


def score_in_words(score: Score) -> str:
    interval = score.interval
    bounds = "" if interval is None else f" ({interval.low:.4g} to {interval.high:.4g})"
    return f"{score.value:.4g}{bounds}"


# ---------------------------------------------------------------------- latency


def system_latency(system: System) -> dict[str, Any] | None:
    latency = system.latency
    if latency is None:
        return None
    sets: list[SampleSet] = system.samples
    rows = [
        Row(_latency_cells(latency, runtime, one), "winner" if one.is_one_step else "")
        for runtime in latency.runtimes
        for one in sets
        if latency.image(runtime, one.evaluations) is not None
    ]
    heads = [
        "runtime",
        "images by",
        "text encoder",
        "UNet evaluation",
        "evaluations",
        "decoder",
        "in all",
        "95 %",
    ]
    threads = f"{latency.device}, {counted(latency.threads, 'thread')}"
    return {"table": PageTable(heads, rows, numbers=range(2, 8)), "device": threads, "others": latency.others}


def _latency_cells(latency: Latency, runtime: str, one: SampleSet) -> list[Cell]:
    whole = latency.image(runtime, one.evaluations)
    assert whole is not None
    each = [latency.of(part, runtime) for part in ("text", "unet", "decoder")]
    text, unet, decoder = (Cell("" if part is None else shown_ms(part.median), css="number") for part in each)
    return [
        Cell(RUNTIME_WORDS.get(runtime, runtime)),
        Cell(one.title),
        text,
        unet,
        number(one.evaluations),
        decoder,
        Cell(shown_ms(whole.median), whole.median, "number"),
        Cell(f"{shown_ms(whole.low)} to {shown_ms(whole.high)}", css="number"),
    ]


def _fastest(system: System) -> str | None:
    """The runtime of the fastest evaluation."""
    if system.latency is None or "unet" not in system.latency.parts:
        return None
    unet = system.latency.parts["unet"]
    return min(unet, key=lambda runtime: unet[runtime].median)


def _ms(took: Took | None) -> str:
    return "?" if took is None else f"{shown_ms(took.median)} ms"


def shown_ms(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
