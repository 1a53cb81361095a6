"""What predicts the end: the order of a search, and forecasts that are known to be good or empty."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.evidence import prediction_text
from analysis.evidence.metrics import sound_networks
from analysis.evidence.prediction import forecast_settings, forecasts, place_order
from tests.analysis.evidence.tables import FORTY, TWENTY, half_fail, seeded, table
from tests.search.made_up import RUNGS, World


def test_the_order_is_that_in_which_a_search_names_its_best() -> None:
    # (FID, CLIP): b dominates a; c is on the front with b, and adds less to it
    fid, clip = -np.log([200.0, 100.0, 300.0]), np.array([0.5, 0.6, 0.61])
    assert list(np.argsort(-place_order(fid, clip))) == [1, 2, 0]


def test_no_network_forecasts_itself() -> None:
    chance = np.random.default_rng(0)
    curves = {name: chance.normal(size=(20, 2)) for name in ("FID", "CLIP")}
    truth = (chance.normal(size=20), chance.normal(size=20))
    changed = (truth[0].copy(), truth[1].copy())
    changed[0][3] += 100
    before, after = (forecasts(curves, each)["all scores so far, ridge"] for each in (truth, changed))
    assert before[3] == after[3] and not np.array_equal(before, after)


def test_a_score_that_is_the_same_for_all_forecasts_nothing() -> None:
    run = World(noise=0.05).run("table", [(network, 0) for network in TWENTY])
    for event in run.events:
        if event["event"] == "rung":
            event["scores"]["validation_loss"] = 1.0
    (setting,) = forecast_settings(table(run), frozenset(network.id for network in TWENTY), None)
    (loss, *_) = [each for each in setting.predicted if each.name == "validation loss"]
    assert (loss.order, loss.behind, loss.best) == (None, None, False)
    assert "| 100 | validation loss | - | - |" in prediction_text.prediction_chapter([setting], RUNGS).text()


def test_the_better_forecast_is_named_and_keeps_the_best() -> None:
    three = seeded(World(noise=0.08), FORTY, range(2))
    long = table(World(noise=0.0, rungs=(400, 1600)).run("long", [(n, 0) for n in FORTY[:15]]))
    first, against_long, same = forecast_settings(three, frozenset(three.runs), long)
    assert [each.independent for each in (first, against_long, same)] == [True, True, False]
    assert [each.networks for each in (first, against_long, same)] == [40, 15, 40]
    by_name = {each.name: each for each in first.predicted if each.step == RUNGS[-1]}
    assert by_name["FID random conv"].behind is not None and by_name["FID random conv"].behind.sign == 1
    size = next(each for each in against_long.predicted if each.name.startswith("parameters"))
    assert size.step == 0 and size.order is not None and size.order.middle == pytest.approx(1)
    assert size.best and size.caught[0.2, 0.25].middle == 1  # what decides in this world
    for setting in (first, against_long, same):
        by_step = [each.step for each in setting.predicted if each.best]
        assert by_step == sorted(set(by_step)) and by_step[0] == 0  # one a step
    assert {each.step for each in same.predicted} == {0, *RUNGS[:-1]}  # the end does not forecast itself
    assert (
        forecast_settings(seeded(World(), TWENTY[:5], range(1)), frozenset(n.id for n in TWENTY), None) == []
    )


def test_among_the_sound_a_forecast_of_failures_is_worth_nothing() -> None:
    both = seeded(World(truth=half_fail, noise=0.05), FORTY, range(2))
    (setting, _) = forecast_settings(both, frozenset(both.runs), None)
    of_all, sound = setting.at("CLIP", RUNGS[-1]), setting.sound
    assert sound is not None and sound.networks == len(sound_networks(both)) < 30
    of_sound = sound.at("CLIP", RUNGS[-1])
    assert of_all is not None and of_all.order is not None and of_all.order.low > 0.4
    assert of_sound is not None and of_sound.order is not None and of_sound.order.sign == 0
