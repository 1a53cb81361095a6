"""What an evolution is refused for before anything starts, and what it would cost."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from conf.compose import compose
from search.evolution_plan import check_evolution, evolution_plan
from search.named import named_architecture
from search.settings import settings_from_plain
from search.strategies.evolve import EvolveSettings, limit_of
from space.architecture import Architecture
from space.levels import Level
from space.shared.plain import InputError
from space.subnet import Subnet
from tests.space.price_lists import made_list
from training.data.factory import load_data

LAYERS = Architecture((Level(64, "full", (2,), (2, 0), cross_attention=True),), latent_size=8)


def settings_of(*words: str) -> Any:
    return settings_from_plain(compose("search", ["strategy=evolve", *words]))


GMACS = {
    "strategy.cost": "gmacs",
    "budget.gmacs": "150",
    "budget.parameters_millions": "null",
    "strategy.start": "md",
    "trials": "1",
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), r"budget\.latency_ms: missing; needed with budget\.prices, a price list .*strategy\.cost=gmacs"),
        (("gmacs", "budget.gmacs=null"), r"budget\.gmacs: missing"),
        (("gmacs", "budget.gmacs=20"), r"budget\.gmacs: 20 is not reached from 183\.6 GMACs: without all 19"),
        (
            ("gmacs", "strategy.rounds=1"),
            r"1 rounds of 3 .*\(183\.6 GMACs > 150\) takes 8 .*nearest: strategy\.actions=8",
        ),
        (("gmacs", "enqueue=[md_lite]"), r"trials: 1 are all enqueued .*nearest: 2"),
        (("gmacs", "strategy.start=mb"), r"architecture 'mb': no such preset"),
        (("gmacs", "strategy.probability=0"), r"probability: 0 is not possible; allowed: over 0, up to 1"),
        (("gmacs", "strategy.rounds=0"), r"rounds: 0 is not possible"),
        (("gmacs", "strategy.rank_by=fid"), r"strategy\.rank_by: 'fid' is not a choice"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(words: tuple[str, ...], said: str) -> None:
    chosen_words = (GMACS if words[:1] == ("gmacs",) else {}) | dict(
        word.split("=", 1) for word in words if word != "gmacs"
    )
    with pytest.raises(InputError, match=said) as caught:
        check_evolution(settings_of(*("=".join(pair) for pair in chosen_words.items())))
    assert "\n" not in str(caught.value)


def test_the_experiment_and_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = (
        "data.scenes=192",
        "training.batch_size=2",
        "evaluators.images=2",
        "strategy.validation_images=2",
    )
    plain = compose("search", ["experiment=snapfusion", *quick])
    settings = settings_from_plain(plain)
    assert isinstance(settings.strategy, EvolveSettings) and settings.budget.gmacs == 170
    monkeypatch.setattr("search.supernet_plan.seconds_of_steps", lambda trainer, count: [0.25, 0.75])
    check_evolution(settings)
    data = load_data(settings.data)
    what, cost = evolution_plan(settings, data)
    assert what == "from 203.8 GMACs to 170, in the place of latency"
    assert "4 rounds of 250 steps of 0.500 s and 25 scores of" in cost
    assert evolution_plan(settings_from_plain(compose("search", [])), data) == []


def test_of_several_bounds_no_fewer_stages_than_said_can_go() -> None:
    """The dearest in GMACs are not those of most parameters: in that order six would have to go."""
    budget = {"budget.gmacs": "175", "budget.parameters_millions": "320"}
    words = GMACS | budget | {"strategy.rounds": "1", "strategy.actions": "1"}
    settings = settings_of(*("=".join(pair) for pair in words.items()))
    with pytest.raises(
        InputError, match=r"387\.4 M parameters > 320; 183\.6 GMACs > 175\) takes (\d) at"
    ) as said:
        check_evolution(settings)
    fewest = int(re.search(r"takes (\d)", str(said.value))[1])  # type: ignore[index]
    md = Subnet.of(named_architecture("md"))
    within = {
        count
        for count in (fewest - 1, fewest)
        for stages in combinations(md.stages, count)
        if not settings.budget.excess(md.without(*stages).architecture)
    }
    assert within == {fewest}


def test_a_bound_beside_the_cost_that_no_removal_reaches_is_named() -> None:
    words = GMACS | {"budget.peak_activations_mib": "20"}
    with pytest.raises(
        InputError, match=r"is not reached from .* still 30\.0 MiB of activations .*> 20; allowed"
    ):
        check_evolution(settings_of(*("=".join(pair) for pair in words.items())))


def test_a_list_that_does_not_cover_the_start_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    made_list([LAYERS]).write(file)
    by_list = ("budget.latency_ms=5", f"budget.prices={file}")
    with pytest.raises(InputError, match=r"budget\.prices: time embedding|budget\.prices: .*list\.json"):
        check_evolution(settings_of(*by_list))


def test_what_an_image_leaves_for_an_evaluation_is_its_bound(tmp_path: Path) -> None:
    """45 less 1 of the text encoder and 40 of the decoder, by two steps of two calls."""
    least = replace(LAYERS, levels=(replace(LAYERS.levels[0], down=(0,), up=(0, 0)),))
    (tmp_path / "layers.yaml").write_text(LAYERS.to_yaml())
    file = made_list([LAYERS, least]).write(tmp_path / "list.json")
    settings = settings_of(
        "budget.total_ms=45", "budget.steps=2", "budget.calls_per_step=2", "budget.text_ms=1",
        "budget.decoder=40", f"budget.prices={file}", f"strategy.start={tmp_path / 'layers.yaml'}",
    )  # fmt: skip
    assert limit_of(settings.strategy, settings.budget).at_most == 1
    with pytest.raises(
        InputError, match=r"budget\.total_ms: 45, which leaves 1 an evaluation, is not reached"
    ):
        check_evolution(settings)
