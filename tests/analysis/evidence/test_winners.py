"""Winners of searches: beside MD, measured otherwise or alike, and what they share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.evidence.resampling import chance_apart
from analysis.evidence.winners import FEWEST_WINNERS, distance, networks_within, shared_choices, winners_of
from analysis.evidence.winners_text import PAPER_SEARCHES, winners_chapter
from search.runs.record import History
from space.shared.plain import to_plain
from tests.analysis.evidence.tables import (
    FORTY,
    MD,
    MD_LITE,
    PAPER,
    TWENTY,
    near_budget,
    of_papers_space,
    seeded,
    table,
)
from tests.search.made_up import RUNGS, World, by_size, networks
from tests.search.worlds import MD_BUDGET, md_space


def test_distance_counts_choices_that_act() -> None:
    space = md_space()
    assert distance(MD, MD, space) == 0
    assert distance(MD, MD_LITE, space) == 2  # innermost channels, and layers on its way up
    assert distance(MD, replace(MD, head_width=32), space) is None


def test_a_winner_stands_beside_md_in_its_own_confirmation() -> None:
    world, tried = World(noise=0.02), sorted(TWENTY[:3], key=by_size)
    confirmations = [
        (name, network, seed) for seed in (7, 8) for name, network in (("trial 2", tried[2]), ("md", MD))
    ]
    run = world.run("before-0", [(network, 0) for network in tried], confirmations=confirmations)
    of_table = seeded(world, FORTY, range(1))
    found = winners_of({"before-0": run.history, "stopped": History()}, MD, FORTY, of_table, md_space())
    assert found is not None
    (winner,) = found.winners
    assert (winner.trial, winner.architecture) == ("trial 2", tried[2])
    clips = [world.scores(MD, seed, RUNGS[-1])["clip_embedded"] for seed in (7, 8)]
    assert winner.scores["MD"].clip == pytest.approx(sum(clips) / 2)
    (verdict,) = winner.verdicts
    assert (verdict.against, verdict.seeds) == ("MD", 2)
    distances = [distance(network, MD, md_space()) or 0 for network in FORTY]
    assert found.others_distance == pytest.approx(sum(distances) / 40)
    assert found.distance is None and found.shared == ()  # of one winner
    assert winners_of({}, MD, FORTY, of_table, md_space()) is None
    assert "otherwise" not in winners_chapter(("before-*",), found, MD).text()


def test_a_winner_of_another_protocol_says_in_what_it_was_measured_otherwise() -> None:
    world = World(noise=0.02)
    run = world.run("before-0", [(network, 0) for network in TWENTY[:3]])
    of_table = seeded(world, FORTY, range(1))
    header = of_table.header | {"rungs": [1, 2]}
    found = winners_of({"before-0": run.history}, MD, FORTY, replace(of_table, header=header), md_space())
    said = winners_chapter(("before-*",), found, MD).text()
    assert "compare with each other only: `before-0` (the table's first: rungs: [1, 2] against" in said


def test_what_winners_share_is_said_of_those_measured_as_the_table_was() -> None:
    world, of_table = World(noise=0.02), seeded(World(noise=0.02), FORTY, range(1))
    groups = {"before": TWENTY[:5], "after": networks(4, seed=1)}
    searches = {
        f"{group}-{number}": world.run(f"{group}-{number}", [(network, 0)]).history
        for group, tried in groups.items()
        for number, network in enumerate(tried)
    }
    for name, history in searches.items():
        if name.startswith("before"):
            history.header["rungs"] = [1, 2]
    found = winners_of(searches, MD, FORTY, of_table, md_space())
    assert found is not None and len(found.winners) == 9
    assert [winner.architecture for winner in found.alike] == groups["after"]
    away = [distance(network, MD, md_space()) or 0 for network in groups["after"]]
    assert found.distance is not None and found.distance.middle == sum(away) / 4
    assert list(found.shared) == shared_choices(groups["after"], FORTY, md_space())
    said = winners_chapter(("before-*",), found, MD).text()
    assert "count once" not in said
    assert f"the 4 winners measured as the table was differ from MD in {sum(away) / 4:.1f} (" in said


@pytest.mark.parametrize(
    ("quality", "said"),
    [(1.5, "1 better; against MD-Lite: 1 better. Better than both: 100% (2% to 100%)."),
     (0.98, "1 better. Better than both: 0% (0% to 98%).")],
)  # fmt: skip
def test_the_share_of_searches_whose_winner_is_better_than_both(quality: float, said: str) -> None:
    truths = {MD.id: 1.0, MD_LITE.id: 0.5}
    world = World(noise=0.001, truth=lambda network: truths.get(network.id, quality))
    best = ("trial 0", TWENTY[0])
    confirmations = [(*each, seed) for seed in (7, 8, 9) for each in (best, ("md", MD), ("md_lite", MD_LITE))]
    run = world.run("after-0", [(TWENTY[0], 0)], confirmations=confirmations)
    found = winners_of({"after-0": run.history}, MD, FORTY, seeded(world, FORTY, range(1)), md_space())
    assert said in winners_chapter(("after-*",), found, MD).findings[0]


@pytest.mark.parametrize("references", [(), (("md", MD),)])
def test_winners_that_were_not_compared_with_both_say_nothing_of_both(references) -> None:
    world, best = World(noise=0.001), ("trial 0", TWENTY[0])
    confirmations = [(*each, seed) for seed in (7, 8, 9) if references for each in (best, *references)]
    run = world.run("md-0", [(TWENTY[0], 0)], confirmations=confirmations)
    found = winners_of({"md-0": run.history}, MD, FORTY, seeded(world, FORTY, range(1)), md_space())
    said = winners_chapter(("md-*",), found, MD).findings[0]
    assert "against MD-Lite: 1 not confirmed." in said and "better than both" not in said.lower()


def test_what_winners_share_beyond_chance() -> None:
    space, sampled = md_space(), networks(60)
    found = [replace(network, activation="gelu").canonical() for network in networks(12, seed=2)]
    first, *others = shared_choices(found, sampled, space)
    assert (first.choice, first.value, first.counts) == ("activation", "gelu", True)
    assert first.winners.middle == 1 and not any(each.counts for each in others)
    assert shared_choices(found[:3], sampled, space) == []


def test_searches_of_one_seed_that_won_with_one_network_count_once_in_what_is_shared() -> None:
    world = World(noise=0.02)
    won = [*networks(4, seed=1), networks(4, seed=1)[0], networks(4, seed=1)[1]]
    searches = {f"after-{at}": world.run(f"after-{at}", [(each, 0)]).history for at, each in enumerate(won)}
    searches["after-5"].header["seed"] = 7  # of another seed, so that it counts
    found = winners_of(searches, MD, FORTY, seeded(world, FORTY, range(1)), md_space())
    assert found is not None and len(found.alike) == 6 and found.counted == 5
    away = [distance(each, MD, md_space()) or 0 for each in (*won[:4], won[1])]
    others = [distance(each, MD, md_space()) or 0 for each in FORTY]
    assert found.distance is not None and found.distance.middle == sum(away) / 5
    assert found.chance == chance_apart(away, others)
    assert list(found.shared) == shared_choices([*won[:4], won[1]], FORTY, md_space())
    said = winners_chapter(("after-*",), found, MD).text()
    assert "have (5: searches of one seed that won with one network count once), with" in said


def test_distances_that_all_agree_are_held_against_what_chance_draws() -> None:
    """Five winners 3 choices away, of a space with 52 of 99 networks that far: .53^5 of such fives are."""
    assert chance_apart([3] * 5, [3] * 52 + [2] * 37 + [1] * 9 + [0]) == pytest.approx(2 * (52 / 99) ** 5)
    assert chance_apart([0, 1], [0, 1]) == 1.0
    assert chance_apart([0, 0], [0, 1, 1, 1]) == pytest.approx(2 / 16)
    assert chance_apart([5, 5], [0, 1]) == 0.0  # further than any


def test_searches_of_the_papers_space_are_held_against_all_its_networks() -> None:
    assert networks_within(md_space(), MD_BUDGET) == []  # thousands of millions
    within = networks_within(PAPER, MD_BUDGET)
    assert len({each.id for each in within}) == len(within) == 99 and MD.id in {each.id for each in within}
    world = World(noise=0.02, header={"space": to_plain(PAPER)})
    recorded = World(noise=0.02).run("paper-0", [(each, 0) for each in near_budget()])
    of_table = table(recorded)  # as it was recorded: points of a larger space that a user put first
    assert of_table.space == md_space() != PAPER
    searches = {
        f"md-{seed}": world.run(f"md-{seed}", [(of_papers_space(960, 3, 3), seed), (MD_LITE, seed)]).history
        for seed in range(FEWEST_WINNERS)
    }
    for seed, history in enumerate(searches.values()):
        history.header["seed"] = seed
    found = winners_of(searches, MD, within, of_table, PAPER)
    assert found is not None and found.choices == 3 and found.distance is not None
    assert {(each.distance, each.complete, each.stopped, each.saved.steps) for each in found.winners} == {
        (1, 2, 0, 0)
    }
    assert found.distance.middle == 1 < 2 < (found.others_distance or 0) < 3
    assert found.shared[0].counts and found.shared[0].winners.middle == 1
    chapter = winners_chapter(("md-*",), found, MD, PAPER_SEARCHES)
    assert chapter.title == PAPER_SEARCHES.title and "nearer to it than all networks" in chapter.findings[-2]
    assert found.chance is not None and 0 < found.chance < 0.05
