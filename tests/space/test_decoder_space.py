"""Decoders of one encoder: what a space of them makes, encodes and refuses, and what they cost."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.samplers.properties import properties
from space.architecture import Architecture
from space.autoencoder import Autoencoder, ImageLevel, ImageMiddle, Way
from space.autoencoder_stages import decoder_stages
from space.budget import Budget, smallest_of
from space.candidates import as_unet, candidate_difference, candidate_from_plain
from space.choices import LevelRanges, Space, UniformSuggestions
from space.decoder_space import DecoderLevelRanges, DecoderSpace, any_space, unet_space
from space.prices.autoencoder import autoencoder_price, way_activation_bytes
from space.prices.candidates import candidate_price
from space.prices.coverage import check_covers, parts_of_space
from space.prices.parts import parts
from space.shared.plain import InputError, to_plain
from tests.space.price_lists import by_widths, list_of

OWN = Autoencoder(
    Way((ImageLevel(8, 1), ImageLevel(8, 1)), ImageMiddle(), norm_groups=4),
    Way((ImageLevel(8, 2), ImageLevel(8, 1)), ImageMiddle(), norm_groups=4),
    latent_channels=2,
    image_size=16,
)
SPACE = DecoderSpace(
    levels={
        "level_1": DecoderLevelRanges((4, 8), (1, 2), ("full", "separable", "plain")),
        "level_2": DecoderLevelRanges((4, 8)),
    },
    middle_blocks=(0, 1, 2),
    middle_attention=(False, True),
    separable_expansion=(2, 4),
    norm_groups=4,
    autoencoder=OWN,
)


def sampled(count: int) -> list[tuple[dict[str, object], Autoencoder]]:
    chance, found = random.Random(3), []
    for _ in range(count):
        suggestions = UniformSuggestions(chance)
        found.append((suggestions.params, SPACE.sample(suggestions)))
    return found


def test_what_is_sampled_encodes_to_its_choices_and_keeps_the_encoder() -> None:
    assert SPACE.encodings == 2 * 2 * 3 * 2 * 3 * 2 * 2
    for params, made in sampled(60):
        encoded, inactive = SPACE.encode(made), SPACE.ignored(made)
        assert {name: value for name, value in encoded.items() if name not in inactive} == {
            name: value for name, value in params.items() if name not in inactive
        }
        assert SPACE.architecture(SPACE.pinned() | encoded) == made
        assert made.encoder == OWN.encoder and made.latent_channels == 2
        for name in inactive:
            for value in SPACE.free()[name]:
                assert SPACE.architecture(SPACE.pinned() | params | {name: value}).id == made.id


def test_inactive_choices_are_those_that_nothing_acts_on() -> None:
    chosen = SPACE.pinned() | {name: values[0] for name, values in SPACE.free().items()}
    bare = SPACE.architecture(chosen)
    assert SPACE.ignored(bare) == {"middle_attention", "separable_expansion"}
    one = SPACE.architecture(chosen | {"middle_blocks": 1, "middle_attention": True})
    assert one.decoder.middle == ImageMiddle(1, attention=False)
    full = chosen | {"middle_blocks": 2, "middle_attention": True, "level_1.conv": "separable"}
    assert SPACE.ignored(SPACE.architecture(full)) == set()


def test_its_own_decoder_is_a_point_and_others_are_refused() -> None:
    assert SPACE.architecture(SPACE.pinned() | SPACE.encode(OWN)).id == OWN.id
    wide = replace(OWN, decoder=replace(OWN.decoder, levels=(ImageLevel(16, 1), ImageLevel(8, 1))))
    with pytest.raises(InputError, match=r"level_1\.channels: 16 is not in the space; allowed: \[4, 8\]"):
        SPACE.encode(wide)
    with pytest.raises(InputError, match="what is not searched"):
        SPACE.encode(replace(OWN, image_size=32))
    with pytest.raises(InputError, match=r"levels: 1, but the encoder has 2; needed: as many"):
        replace(SPACE, levels={"level_1": DecoderLevelRanges((4,))})
    with pytest.raises(InputError, match="whose encoder stays"):
        _ = replace(SPACE, autoencoder=None).first


def test_a_space_is_read_as_what_it_is_of() -> None:
    assert any_space(to_plain(SPACE)) == SPACE
    unets = Space({"level_1": LevelRanges((64,))})
    assert unet_space(any_space(to_plain(unets))) == unets
    with pytest.raises(InputError, match="space: is of decoders"):
        unet_space(SPACE)


def test_a_candidate_is_read_as_what_it_is_and_differs_in_words() -> None:
    light = SPACE.first
    assert candidate_from_plain(light.to_plain()) == light
    assert "decoder level 1 channels: 8 -> 4" in candidate_difference(OWN, light)
    unet = Space({"level_1": LevelRanges((64,))}).first
    assert isinstance(candidate_from_plain(unet.to_plain()), Architecture) and as_unet(unet) is unet
    with pytest.raises(InputError, match="is an autoencoder, and this is of UNets"):
        as_unet(light)


def test_a_budget_bounds_the_decoder_alone() -> None:
    cost = autoencoder_price(OWN).decoder
    assert candidate_price(OWN) == cost
    budget = Budget(gmacs=cost.gmacs / 2, parameters_millions=1.0, peak_activations_mib=1.0, precision="fp32")
    amounts = budget.amounts(OWN)
    assert amounts["gmacs"] == cost.gmacs and amounts["parameters_millions"] == cost.parameters / 1e6
    assert amounts["peak_activations_mib"] == way_activation_bytes(decoder_stages(OWN)) / 2**20
    assert budget.excess(OWN) == [f"{cost.gmacs:.4g} GMACs > {cost.gmacs / 2:g}"]
    smallest = smallest_of(SPACE, budget, "gmacs")
    assert candidate_price(smallest).macs <= min(candidate_price(made).macs for _, made in sampled(300))


def test_properties_are_as_many_for_all_of_a_space_and_tell_them_apart() -> None:
    rows = [properties(made) for _, made in sampled(40)]
    assert {row.shape for row in rows} == {rows[0].shape}
    distinct = {made.id for _, made in sampled(40)}
    assert len(np.unique(np.stack(rows), axis=0)) == len(distinct)


def test_a_price_list_prices_decoders_part_by_part(tmp_path: Path) -> None:
    every = parts_of_space(SPACE)
    assert {part for _, made in sampled(80) for part in parts(made)} <= set(every)
    prices = list_of(every, overhead_ms=2.0, factor=3.0)
    check_covers(prices, SPACE)
    light = SPACE.first
    by_hand = sum(by_widths(part) for part in parts(light))
    assert len(parts(light)) == len(decoder_stages(light))
    assert prices.milliseconds(light) == pytest.approx(2 + 3 * by_hand)
    file = str(prices.write(tmp_path / "list.json"))
    bound = prices.milliseconds(light)
    budget = Budget(latency_ms=bound, prices=file)
    assert budget.excess(light) == [] and budget.latency(light) == bound
    (said,) = budget.excess(OWN)
    assert said == f"{prices.milliseconds(OWN):.4g} ms > {bound:g} ({prices.describe()})"
    with pytest.raises(InputError, match="it was measured for another space"):
        check_covers(list_of(parts(light)), SPACE)
