"""Scores as goodness: turned so that more is better, by network and seed."""

from __future__ import annotations

from analysis.evidence.metrics import goodness, metrics_of, with_shared_seeds
from tests.analysis.evidence.tables import CLIP, FID, TWENTY, seeded, table
from tests.search.made_up import World


def test_scores_are_turned_so_that_more_is_better_and_said_as_they_are() -> None:
    assert FID.goodness(200.0) < FID.goodness(100.0)
    assert FID.change_text(FID.goodness(80.0) - FID.goodness(100.0)) == "\u221220%"
    assert CLIP.change_text(CLIP.goodness(0.5) - CLIP.goodness(0.25)) == "+0.250"
    assert (FID.deviation(0.1234), CLIP.deviation(0.1234)) == ("12%", "0.123")


def test_metrics_are_those_that_every_run_has() -> None:
    full, partial = World().run("a", [(TWENTY[0], 0)]), World().run("b", [(TWENTY[1], 0)])
    for event in partial.events:
        event.get("scores", {}).pop("validation_loss", None)
    names = [metric.name for metric in metrics_of(table(full))]
    assert names == ["FID", "CLIP", "validation loss", "FID random conv"]
    assert [metric.name for metric in metrics_of(table(full, partial))] == ["FID", "CLIP", "FID random conv"]


def test_seeds_that_most_repeated_networks_share() -> None:
    values = {"a": {0: 1.0, 1: 1.0, 2: 1.0}, "b": {0: 1.0, 1: 1.0}, "c": {0: 1.0, 1: 1.0}, "d": {0: 1.0}}
    assert with_shared_seeds(values) == (["a", "b", "c"], [0, 1])
    assert with_shared_seeds({"d": {0: 1.0}}) == ([], [])


def test_goodness_is_of_the_networks_asked_for() -> None:
    of_table = seeded(World(), TWENTY, range(2))
    key = TWENTY[3].id
    values = goodness(of_table, CLIP, 400, {key})
    assert values == {key: {seed: World().scores(TWENTY[3], seed, 400)["clip_embedded"] for seed in (0, 1)}}
