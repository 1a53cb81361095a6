"""Price lists of decoders: every part has a chain, and a list measured here prices other decoders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluators.latency.lists import Effort, measured_list, sampled_networks
from evaluators.latency.probes import MOST_TIMES, build_probe, macs, pair
from evaluators.latency.runtimes import Place
from mdsearch.commands.latency_prices import main
from space.autoencoder import Autoencoder
from space.prices.coverage import parts_of_space
from space.prices.latency import PriceList
from space.prices.parts import TimedPart, parts
from space.shared.plain import InputError
from tests.space.test_decoder_space import SPACE

EFFORT = Effort(seconds=0.0, least=1, most=1)


def test_every_chain_of_a_decoder_runs_and_two_differ_by_their_part() -> None:
    every = parts_of_space(SPACE)
    kinds = {part.kind for part in every}
    assert kinds == {
        "latent conv", "image in", "map attention", "full", "separable", "plain", "upsample", "normed out",
        "image out",
    }  # fmt: skip
    for part in every:
        one = pair(part)
        assert 1 <= one.times <= MOST_TIMES
        more, takes = build_probe(one.more)
        fewer, also = build_probe(one.fewer)
        assert "time" not in takes
        with torch.no_grad():
            assert more(*takes.values()).isfinite().all() and fewer(*also.values()).isfinite().all()
        assert len(more.each) - len(fewer.each) == one.times  # type: ignore[arg-type]


def test_attention_over_a_map_is_priced_by_its_own_work() -> None:
    part = TimedPart("map attention", 4, 8, 8, (("norm_groups", 4),))
    assert macs(part) == 4 * 16 * 8 * 8 + 2 * 16 * 16 * 8


def test_a_list_of_decoders_is_measured_here(tmp_path: Path) -> None:
    networks = sampled_networks(SPACE, 2, 0, "calibration", lambda a: isinstance(a, Autoencoder))
    place = Place("cpu", 1)
    found = measured_list(
        SPACE, parts_of_space(SPACE), networks, "eager", place, tmp_path / "j", effort=EFFORT
    )
    again = PriceList.load(found.write(tmp_path / "list.json"))
    (other,) = sampled_networks(SPACE, 1, 0, "check", lambda a: True)
    expected = found.overhead_ms + found.factor * sum(map(found.part_ms, parts(other)))
    assert again.milliseconds(other) == pytest.approx(expected) and again.calibrated_on == 2


def test_a_space_of_decoders_needs_the_autoencoder_whose_encoder_stays(tmp_path: Path) -> None:
    out = f"out={tmp_path / 'list.json'}"
    with pytest.raises(InputError, match="autoencoder: missing; needed beside a space of decoders"):
        main(["space=decoder", out])
    with pytest.raises(InputError, match="autoencoder: has no effect beside a space of UNets"):
        main(["autoencoder=small", out])
