"""A price list from made times: chains give back what their parts take, networks what the sum misses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from evaluators.latency import runtimes
from evaluators.latency.designs import design, spread_out
from evaluators.latency.held_out import Whole, verdict_of_list
from evaluators.latency.lists import Effort, calibrating_networks, measured_list, sampled_networks
from evaluators.latency.probes import MOST_TIMES, Probe, build_probe, macs, pair
from evaluators.latency.runtimes import Inputs, Place, TimedRun
from space.architecture import Architecture
from space.choices import LevelRanges, Space
from space.prices.calibration import calibration
from space.prices.coverage import parts_of_space
from space.prices.macs import price
from space.prices.parts import TimedPart, parts
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.price_lists import by_widths

OUTER = LevelRanges((16, 32), layers_down=(0,), layers_up=(0,))
INNER = LevelRanges(
    (32, 48, 64),
    conv=("full", "separable"),
    layers_down=(0, 1),
    layers_up=(1,),
    self_attention=(False, True),
    cross_attention=(True,),
)
BASE = {"latent_size": 8, "norm_groups": 8, "head_width": 16, "time_width": 64, "context_width": 32}
SPACE = Space({"level_1": OUTER, "level_2": INNER}, attention=("softmax", "relu"), base=BASE)
SMALLEST, LARGEST = "smallest", "largest"


def anywhere(a: Architecture) -> bool:
    return True


def made_runtime(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
    """Whose clock gives `by_widths` for each part; a call 3 ms more, and a whole network a tenth more."""
    unet = getattr(module, "unet", None)
    if isinstance(unet, UNet):
        ms = 3 + 1.1 * sum(map(by_widths, parts(unet.architecture)))
    else:
        ms = 3 + chain_ms(cast(Any, module))
    return lambda number: ms


def chain_ms(chain: Any) -> float:
    """Of all parts that a chain is made of, by its modules."""
    part, times = chain.part, len(chain.each)
    if part.kind == "stack":
        stacks = 1 + sum(end - begin > 0 for begin, end in zip(chain.ends, chain.ends[1:], strict=False))
        return 50 + stacks * by_widths(part)
    return times * (by_widths(part) + ("attention" in part.kind) * plain_feed_forward(part))


def plain_feed_forward(part: TimedPart) -> float:
    return by_widths(TimedPart("feed-forward", part.size, part.inputs, part.outputs))


@pytest.fixture
def _made(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "made", made_runtime)
    yield


def test_the_parts_of_a_space_are_those_of_all_its_networks() -> None:
    names = [name for name, _ in SPACE.choices()]
    assert "level_1.channels" in names
    sampled = sampled_networks(SPACE, 60, 0, "all", anywhere)
    found = set(parts_of_space(SPACE))
    assert {part for a in sampled for part in parts(a)} <= found
    assert len(found) == len(parts_of_space(SPACE))


def test_a_design_holds_the_extremes_of_every_family() -> None:
    every = parts_of_space(SPACE)
    few = design(SPACE, len(every) - 3)
    assert len(few) <= len(every) - 3 and set(few) < set(every)
    for part in every:
        family = [other for other in few if other.family == part.family]
        assert min(other.inputs for other in family) <= part.inputs <= max(other.inputs for other in family)
        assert (
            min(other.outputs for other in family) <= part.outputs <= max(other.outputs for other in family)
        )
    assert design(SPACE, len(every)) == design(SPACE)
    with pytest.raises(InputError, match=r"entries: 5 are too few for this space; allowed: \d+ or more"):
        design(SPACE, 5)


def test_widths_are_spread() -> None:
    group = [TimedPart("stack", 8, width, width) for width in (8, 16, 24, 32, 40)]
    assert [part.inputs for part in spread_out(group, 3)] == [8, 40, 24]


def test_every_chain_runs_and_two_differ_by_their_part() -> None:
    """On the parts of networks with everything: projections, widths that shrink, added conditions."""
    further = replace(
        SPACE.first, stack_projection="conv", pooled_width=8, size_embeddings=1, guidance_width=4
    )
    linear = replace(further, stack_projection="linear")
    every = dict.fromkeys([*parts_of_space(SPACE), *parts(further), *parts(linear)])
    shrinking = next(part for part in every if part.kind == "full" and part.inputs < part.outputs)
    every[shrinking._replace(inputs=64, outputs=32)] = None
    for part in every:
        one = pair(part)
        assert 1 <= one.times <= MOST_TIMES
        more, takes = build_probe(one.more)
        fewer, also = build_probe(one.fewer)
        with torch.no_grad():
            assert more(*takes.values()).isfinite().all()
            assert fewer(*also.values()).isfinite().all()
        if part.kind not in ("stack", "self-attention", "cross-attention"):
            assert len(more.each) - len(fewer.each) == one.times  # type: ignore[arg-type]


def test_an_attention_is_priced_without_the_feed_forward_beside_it() -> None:
    part = next(part for part in parts(SPACE.first) if part.kind == "cross-attention")
    tokens, channels, length, context = part.size**2, part.inputs, 77, 32
    by_hand = 2 * tokens * channels**2 + 2 * length * context * channels + 2 * tokens * length * channels
    assert macs(part) == by_hand


@pytest.mark.usefixtures("_made")
def test_a_list_gives_back_what_was_put_in(tmp_path: Path) -> None:
    networks = sampled_networks(SPACE, 5, 0, "calibration", anywhere)
    effort = Effort(seconds=0.0, least=1, most=1)
    place, journal = Place("cpu", 1), tmp_path / "begun"
    every = design(SPACE)
    found = measured_list(SPACE, every, networks, "made", place, journal, effort=effort)
    assert {entry.part: round(entry.mean_ms, 9) for entry in found.entries} == {
        part: round(by_widths(part), 9) for part in every
    }
    assert (found.overhead_ms, found.factor) == (pytest.approx(3), pytest.approx(1.1))
    assert (found.calibrated_on, found.threads, found.precision) == (5, 1, "fp32")
    for a in sampled_networks(SPACE, 5, 0, "check", anywhere):
        assert found.milliseconds(a) == pytest.approx(3 + 1.1 * sum(map(by_widths, parts(a))))
    few = measured_list(SPACE, design(SPACE, 60), networks, "made", place, tmp_path / "few", effort=effort)
    worst = max(max(errors) for errors in few.interpolation_errors().values())
    assert worst < 0.01 and len(few.entries) <= 60


@pytest.mark.usefixtures("_made")
def test_an_interrupted_list_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[TimedPart] = []

    def counting(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
        timed.append(cast(Any, module).part)
        if len(timed) == 20:
            raise KeyboardInterrupt
        return made_runtime(module, inputs, place, folder)

    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "made", counting)
    effort, place, every = Effort(0.0, 1, 1), Place("cpu", 1), design(SPACE)[:15]
    with pytest.raises(KeyboardInterrupt):
        measured_list(SPACE, every, [], "made", place, tmp_path / "begun", effort=effort)
    before, told = len(timed), list[tuple[int, int]]()
    found = measured_list(
        SPACE,
        every,
        [],
        "made",
        place,
        tmp_path / "begun",
        effort=effort,
        on_done=lambda *at: told.append(at),
    )
    assert len(found.entries) == 15
    assert told[0][0] >= 5 and told[-1] == (15, 15)
    assert len(timed) - before <= 2 * (15 - told[0][0])


def test_calibration() -> None:
    sums = [10.0, 20.0, 40.0, 80.0]
    assert calibration(sums, [5 + 2 * each for each in sums]) == (pytest.approx(5), pytest.approx(2))
    assert calibration([10.0], [12.0]) == (0, pytest.approx(1.2))
    assert calibration([], []) == (0, 1)
    assert calibration([1.0, 2.0, 4.0], [8.0, 4.0, 2.0]) == (0, pytest.approx((8 + 2 + 0.5) / 3))
    assert calibration(sums, [each - 1 for each in sums])[0] == 0  # no call takes less than nothing


def test_a_verdict_by_hand() -> None:
    """Predictions a tenth too large, in order, where MACs go the other way."""
    networks = [Whole(str(ms), 100 - ms, 1.1 * ms, ms) for ms in (10.0, 20.0, 30.0, 40.0)]
    equal = [Whole(str(ms), 200.0, 1 / ms, ms) for ms in (1.0, 2.0, 3.0, 4.0)]
    verdict = verdict_of_list(networks, equal)
    assert verdict.median_error == verdict.mean_error == pytest.approx(0.1)
    assert (verdict.rank_correlation, verdict.macs_rank_correlation) == (1, -1)
    assert verdict.macs_error == pytest.approx(0, abs=1e-9)  # the line is fitted to these very networks
    assert not verdict.holds
    assert (verdict.equal_pairs, verdict.equal_in_order, verdict.equal_rank_correlation) == (6, 0, -1)
    with pytest.raises(InputError, match="networks: 3 say nothing"):
        verdict_of_list(networks[:3])


def test_networks_of_another_purpose_are_others() -> None:
    fits = sampled_networks(SPACE, 8, 0, "check", lambda a: price(a).macs > 0)
    assert len({a.id for a in fits}) == 8
    assert [a.id for a in fits] == [a.id for a in sampled_networks(SPACE, 8, 0, "check", anywhere)]
    assert [a.id for a in fits] != [a.id for a in sampled_networks(SPACE, 8, 0, "calibration", anywhere)]
    assert sampled_networks(SPACE, 3, 0, "check", lambda a: False) == []


def test_a_kind_without_a_chain_is_refused() -> None:
    with pytest.raises(InputError, match="no chain is known"):
        build_probe(Probe(TimedPart("pooling", 8, 8, 8), 1))


def test_sums_are_fitted_to_networks_that_lie_apart() -> None:
    """Six that all take about as long would leave overhead and factor to chance."""
    every = sorted(price(a).macs for a in sampled_networks(SPACE, 60, 0, "calibration", anywhere))
    found = [price(a).macs for a in calibrating_networks(SPACE, 6, 0, anywhere)]
    assert found == [every[round(59 * step / 5)] for step in range(6)] and len(set(found)) == 6
    assert [price(a).macs for a in calibrating_networks(SPACE, 1, 0, anywhere)] != found[:1]
    assert calibrating_networks(SPACE, 0, 0, anywhere) == []
    few = [a.id for a in calibrating_networks(SPACE, 2, 1, lambda a: price(a).macs <= every[5])]
    assert len(set(few)) == 2
