"""What decides a score, so that runs which differ in it do not compare, and what may differ."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from search.runs.compatibility import (
    DECIDES_A_SCORE,
    abridged,
    protocol_difference,
    protocol_parts,
    space_difference,
)
from search.runs.record import History
from search.settings import SearchSettings
from tests.search.histories import header

PROTOCOL = {
    "images": 200,
    "features": {"embedded-clip": {"digest": "ab", "retrieval_accuracy": 0.98, "data_digest": "0123"}},
}


def history(**changes: Any) -> History:
    return History(header=header(**{"protocol": PROTOCOL} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": {"parameters_millions": 280.0, "gmacs": None}},
        {"sampler": {"name": "nsga2"}},
        {"stopping": {"name": "none"}},
        {"noise": {"rungs": [], "deviations": 1.0}},
        {"seed": 7},
        {"trials": 99},
        {"name": "another"},
        {"space": {"levels": {}}},
        {"data": {"name": "scenes", "memory_mib": 1}},  # the digest of the images is equal
        {"training": {"batch": 64, "learning_rate": 0.002, "steps": 9}},  # the rungs say how long
    ],
)
def test_what_decides_only_which_networks_are_tried_may_differ(changes: dict[str, Any]) -> None:
    assert protocol_difference(history(), history(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rungs": [125, 250, 500]}, "rungs: [100, 200, 400] against [125, 250, 500]"),
        ({"training": {"batch": 32, "learning_rate": 0.002}}, "training.batch: 64 against 32"),
        ({"proxy": header()["proxy"] | {"heads": 4}}, "proxy.heads: - against 4"),
        (
            {"objectives": {"fid": "fid_random_conv", "clip": "clip_embedded"}},
            "objectives.fid: fid_embedded_clip against fid_random_conv",
        ),
        ({"protocol": PROTOCOL | {"images": 400}}, "protocol.images: 200 against 400"),
        (
            {
                "protocol": {
                    "images": 200,
                    "features": {"embedded-clip": {"digest": "ab", "data_digest": "9"}},
                }
            },
            "protocol.features.embedded-clip.data_digest: 0123 against 9",
        ),
    ],
)
def test_what_decides_a_score_is_named_with_both_values(changes: dict[str, Any], said: str) -> None:
    assert protocol_difference(history(), history(**changes)) == [said]


def test_a_strategy_counts_only_where_trials_are_not_trained_by_themselves() -> None:
    alone, ranked = history(strategy={"name": "independent"}), history(strategy=SUPERNET)
    assert protocol_difference(alone, ranked) == []
    assert protocol_parts(alone.header) == protocol_parts(ranked.header)
    assert protocol_difference(alone, history(strategy={"name": "heirs"})) == [
        "strategy.name: independent against heirs"
    ]


SUPERNET = {"name": "supernet", "steps": 2000, "rank_by": "validation_loss"}


def test_of_many_differences_a_few_are_named() -> None:
    found = protocol_difference(history(), history(protocol={"images": 1} | {f"f{n}": n for n in range(20)}))
    named = abridged(found)
    assert named[:-1] == found[:8] and named[-1] == f"and {len(found) - 8} more"
    assert abridged(found[:8]) == found[:8]


def test_images_without_a_digest_are_compared_by_their_settings() -> None:
    one, other = (history(protocol={"images": 200}, data={"name": name}) for name in ("scenes", "digits"))
    assert protocol_difference(one, other) == ["data.name: scenes against digits"]


def test_a_run_without_a_protocol_compares_with_none() -> None:
    begun = History(header=header())
    (difference,) = protocol_difference(begun, begun)
    assert difference.startswith("protocol: not recorded")


def test_spaces_differ_by_choice() -> None:
    one, other = (history(space={"levels": {"a": {"channels": w}}}) for w in ([320], [320, 384]))
    assert space_difference(one, one) == []
    assert space_difference(one, other) == ["space.levels.a.channels: [320] against [320, 384]"]


def test_a_choice_that_an_older_space_does_not_name_stands_at_its_default() -> None:
    """Recorded networks go on teaching searches of the same space."""
    kernels = ({}, {"separable_kernel": [3]}, {"separable_kernel": [3, 7, 9]})
    old, new, other = (history(space={"levels": {}} | more) for more in kernels)
    assert space_difference(old, new) == space_difference(new, old) == []
    assert space_difference(old, other) == ["space.separable_kernel: [3] against [3, 7, 9]"]


def test_every_setting_is_known_to_decide_a_score_or_not_to() -> None:
    """A new setting fails here until somebody has said which it is."""
    which = {
        "space", "budget", "sampler", "stopping", "noise", "confirmation", "cluster", "backend", "trials",
        "seed", "enqueue", "recorded", "prior", "prior_elsewhere", "name", "runs_folder",
        "cache_folder", "resume", "dry_run",
        "compute", "weights", "further_objectives", "presets", "logger", "throughput", "expected_images",
        "format",
    }  # fmt: skip
    where = {"evaluators", "scoring"}  # in the header as the protocol that they make
    names = {field.name for field in dataclasses.fields(SearchSettings)}
    assert names - which - where == set(DECIDES_A_SCORE) - {"protocol", "objectives"}
