"""From SD-1.5 to MobileDiffusion, decision after decision: `mdsearch walk`.

The decisions are those of sections 3.2 and 3.3. Each step is a valid `Architecture`, priced in closed
form; the last one is MD itself. What a step saves
depends on what came before it (a smaller feed-forward saves more where there are more layers), so the
paper's figures, whose baselines it does not state, stand beside ours and are not expected to be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.paper.plots import Total
from analysis.paper.table1 import printed_network
from analysis.rendering import TableSettings, markdown_page, render_table
from space.architecture import Architecture
from space.difference import difference
from space.prices.macs import price


def _level(a: Architecture, index: int, **changes: Any) -> Architecture:
    levels = list(a.levels)
    levels[index] = replace(levels[index], **changes)
    return replace(a, levels=tuple(levels))


def _single_outer_blocks(a: Architecture) -> Architecture:
    """One conv block a side in place of two (and one more up), with the layers that followed the others."""
    for index in (0, 1):
        level = a.levels[index]
        a = _level(a, index, down=level.down[:1], up=level.up[:2])
    return a


@dataclass(frozen=True)
class WalkStep:
    """What is decided, where the paper decides it, what it says it saves ("" if nothing), and the change."""

    name: str
    section: str
    paper: str
    change: Callable[[Architecture], Architecture]


DECISIONS = (
    WalkStep(
        "no 8x8 level, no middle",
        "3.3, 3.4",
        "22 -> 12 conv blocks: -15 % parameters, +19 % efficiency (v1)",
        lambda a: replace(a, levels=a.levels[:3], middle=None),
    ),
    WalkStep(
        "transformers to the bottleneck: 5 -> 15 layers",
        "3.2",
        "parameters kept; +26 % efficiency (v1)",
        lambda a: _level(a, 2, down=(3, 3), up=(3, 3, 3)),
    ),
    WalkStep(
        "narrower bottleneck: 1280 -> 1024 channels",
        "3.2",
        "",
        lambda a: _level(a, 2, channels=1024),
    ),
    WalkStep(
        "no transformer at 64x64",
        "3.2",
        "",
        lambda a: _level(a, 0, down=(0, 0), up=(0, 0, 0), self_attention=False, cross_attention=False),
    ),
    WalkStep(
        "no self-attention at 32x32",
        "3.2",
        "+15 % efficiency (v1)",
        lambda a: _level(a, 1, self_attention=False),
    ),
    WalkStep(
        "one projection for keys and values",
        "3.2",
        "-5 % parameters",
        lambda a: replace(a, shared_key_value=True),
    ),
    WalkStep("gelu -> swish", "3.2", "", lambda a: replace(a, activation="swish")),
    WalkStep(
        "feed-forward ratio 4 -> 3",
        "3.2",
        "-10 % parameters",
        lambda a: replace(a, feed_forward_ratio=3),
    ),
    WalkStep(
        "separable convolution at 16x16",
        "3.3",
        "-10 % parameters (v1)",
        lambda a: _level(a, 2, conv="separable"),
    ),
    WalkStep(
        "one outer conv block in place of two",
        "3.3",
        "part of the first row's 22 -> 12",
        _single_outer_blocks,
    ),
    WalkStep(
        "no projections around transformers",
        "not stated",
        "",
        lambda a: replace(a, stack_projection="none"),
    ),
    WalkStep("latent channels 4 -> 8", "3.5", "", lambda a: replace(a, latent_channels=8)),
    WalkStep(
        "heads 64 channels wide, not 8 a layer",
        "not stated",
        "",
        lambda a: replace(a, heads=None, head_width=64),
    ),
)


@dataclass(frozen=True)
class Step:
    """An architecture of the walk: exact totals, and what it saves over the step before (negative: adds)."""

    decision: str
    section: str
    architecture_id: str
    conv_blocks: int
    self_attention: int
    cross_attention: int
    parameters: int
    macs: int
    flops: int
    saved_parameters: int
    saved_parameters_percent: float
    saved_macs: int
    saved_macs_percent: float
    changed: tuple[str, ...]
    paper: str


def architectures() -> list[Architecture]:
    """SD-1.5, then the architecture after each decision; the last is MD."""
    start, end = printed_network("sd15"), printed_network("md")
    assert isinstance(start, Architecture) and isinstance(end, Architecture)
    walk = [start]
    for decision in DECISIONS:
        walk.append(decision.change(walk[-1]))
    assert walk[-1].id == end.id, difference(walk[-1], end)
    return walk


def steps() -> list[Step]:
    """One a decision, SD-1.5 first."""
    walk = architectures()
    names = [("SD-1.5", "", ""), *((item.name, item.section, item.paper) for item in DECISIONS)]
    return [
        _step(*name, walk[max(0, index - 1)], after)
        for index, (name, after) in enumerate(zip(names, walk, strict=True))
    ]


def _step(name: str, section: str, paper: str, before: Architecture, after: Architecture) -> Step:
    old, new = price(before), price(after)
    parameters, macs = old.parameters - new.parameters, old.macs - new.macs
    return Step(
        name,
        section,
        after.id,
        after.conv_blocks,
        after.self_attention_layers,
        after.cross_attention_layers,
        new.parameters,
        new.macs,
        new.flops,
        parameters,
        round(100 * parameters / old.parameters, 2),
        macs,
        round(100 * macs / old.macs, 2),
        tuple(difference(before, after)),
        paper,
    )


# ---------------------------------------------------------------------- for people


def words_of_step(step: Step) -> dict[str, str]:
    """A step as words. Changes are written with their sign: what is saved stands below zero."""
    first = not step.section
    return {
        "decision": step.decision,
        "section": step.section or "-",
        "conv\nblocks": str(step.conv_blocks),
        "SA + CA": f"{step.self_attention} + {step.cross_attention}",
        "parameters\n(M)": f"{step.parameters / 1e6:.2f}",
        "change of\nparameters": "-" if first else f"{_signed(-step.saved_parameters_percent, 1)} %",
        "GMACs": f"{step.macs / 1e9:.2f}",
        "change of\nMACs": "-" if first else f"{_signed(-step.saved_macs_percent, 1)} %",
        "the paper says": step.paper or "-",
    }


def _signed(value: float, digits: int) -> str:
    return "0" if value == 0 else f"{value:+.{digits}f}"


WALK_NOTE = (
    "Each change is taken from the step before, so it depends on the order: a step saves more where\n"
    "earlier ones left more. The paper states neither the baselines of its figures nor what efficiency is;\n"
    "(v1) marks those of its first version. With the transformers moved and the bottleneck still wide, the\n"
    "count is within 3 % of SD-1.5's: probably the number of parameters that section 3.2 says it keeps."
)


def walk_text(walk: Sequence[Step], settings: TableSettings) -> str:
    """The whole output: the table and, for people, how to read it."""
    body = render_table(
        [asdict(step) for step in walk], [words_of_step(step) for step in walk], settings.format
    )
    if settings.format == "table":
        return f"{body}\n{WALK_NOTE}\n"
    if settings.format == "markdown":
        caption = "What each decision saves, as a waterfall"
        return markdown_page("walk", "From SD-1.5 to MobileDiffusion", [body, WALK_NOTE], caption, settings)
    return body


def totals(walk: Sequence[Step]) -> list[Total]:
    """The bars of the waterfall: a step each, and MobileDiffusion as what is left."""
    bars = [Total(step.decision, step.parameters / 1e6, step.macs / 1e9) for step in walk]
    return [*bars, replace(bars[-1], name="MobileDiffusion")]
