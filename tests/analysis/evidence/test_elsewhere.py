"""Networks trained on other images too: planted orders are found, turned ones told."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from analysis.evidence.decisions import PAPER_DECISIONS
from analysis.evidence.elsewhere import CarriedOver, Elsewhere, elsewhere, matching_metrics, reliability
from analysis.evidence.elsewhere_text import ended_early, page
from analysis.replay.table import RecordedTable
from mdsearch.commands.evidence_elsewhere import main
from search.objectives import fid_and_clip, objectives_to_plain
from search.runs.bundle import write_bundle
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.analysis.evidence.tables import FORTY, MD, table
from tests.search.made_up import World
from tests.search.worlds import md_space

SIXTEEN = [MD, *FORTY[:15]]
PLACES = {network.id: place for place, network in enumerate(SIXTEEN)}
TURNED = {network: len(PLACES) - 1 - place for network, place in PLACES.items()}
DECIDES = {"objectives": objectives_to_plain(fid_and_clip("fid_efficientnet_lite0", "clip_embedded"))}


class Photographs(World):
    """Other images, whose FID is by features that are not there at home."""

    def scores(self, network: Architecture, seed: int, step: int) -> dict[str, float]:
        found = super().scores(network, seed + 100, step)
        return found | {"fid_efficientnet_lite0": found["fid_embedded_clip"] / 3}


def quality(order: dict[str, int]) -> dict[str, float]:
    return {network: 0.2 + place / 20 for network, place in order.items()}


def home(order: dict[str, int], noise: float = 0.0001) -> RecordedTable:
    world = World(noise=noise, truth=lambda network: quality(order)[network.id])
    return table(world.run("table", [(network, seed) for seed in (0, 1) for network in SIXTEEN]))


def away(order: dict[str, int], noise: float = 0.0001) -> RecordedTable:
    world = Photographs(noise=noise, truth=lambda network: quality(order)[network.id], header=DECIDES)
    return table(world.run("emoji-seed-0", [(network, seed) for seed in (0, 1) for network in SIXTEEN]))


@cache
def found(turned: bool = False, noise: float = 0.0001) -> Elsewhere:
    return elsewhere(home(PLACES, noise), away(TURNED if turned else PLACES, noise))


def of(rows: tuple[CarriedOver, ...], here: str, there: str) -> CarriedOver:
    return next(row for row in rows if (row.here, row.there) == (here, there))


def middle(interval: object) -> float:
    return float(interval.middle)  # type: ignore[attr-defined]


FIDS = ("fid_embedded_clip", "fid_efficientnet_lite0")


def test_each_score_there_meets_its_like_here() -> None:
    pairs = [(one.score, other.score) for one, other in matching_metrics(home(PLACES), away(PLACES))]
    assert pairs == [
        FIDS,
        ("clip_embedded", "clip_embedded"),
        ("validation_loss", "validation_loss"),
        ("fid_embedded_clip", "fid_embedded_clip"),
        ("fid_random_conv", "fid_random_conv"),
    ]


@pytest.mark.parametrize(("turned", "expected"), [(False, 1), (True, -1)])
def test_a_planted_order_is_found(turned: bool, expected: int) -> None:
    for names in (FIDS, ("clip_embedded", "clip_embedded"), ("validation_loss", "validation_loss")):
        row = of(found(turned).sound, *names)
        assert (row.networks, row.seeds) == (13, (2, 2))  # three end with an FID above 500
        assert middle(row.one_run) == middle(row.means) == pytest.approx(expected)
        assert row.shared == row.means and middle(row.another_seed) == middle(row.most) == pytest.approx(1)
        assert middle(row.pairs) == float(expected == 1)
    assert of(found(turned).all_networks, *FIDS).networks == 16
    luck = of(found().sound, "fid_random_conv", "fid_random_conv")  # planted nowhere
    assert luck.means is not None and luck.means.sign == 0


def test_under_noise_an_equal_order_is_near_its_ceiling_and_not_at_one() -> None:
    row = of(found(noise=0.3).all_networks, *FIDS)
    assert 0.3 < middle(row.means) < 0.97 and middle(row.most) < 0.97
    assert abs(middle(row.means) - middle(row.most)) < 0.25
    assert middle(row.one_run) < middle(row.means)


def test_the_mean_of_more_seeds_is_more_reliable() -> None:
    assert reliability(np.array([0.5, -0.2]), 3) == pytest.approx([0.75, 0])


def test_with_one_seed_there_is_no_ceiling() -> None:
    world = Photographs(noise=0.0001, truth=lambda network: quality(PLACES)[network.id], header=DECIDES)
    one = elsewhere(home(PLACES), table(world.run("emoji-seed-0", [(network, 0) for network in SIXTEEN])))
    row = of(one.sound, *FIDS)
    assert middle(row.means) == pytest.approx(1)
    assert (row.another_seed, row.most, row.pairs) == (None, None, None)


def test_one_missing_run_takes_one_network_from_the_ceiling_and_none_from_the_order() -> None:
    world = Photographs(noise=0.0001, truth=lambda network: quality(PLACES)[network.id], header=DECIDES)
    entries = [(network, seed) for seed in (0, 1) for network in SIXTEEN]
    there = table(world.run("emoji-seed-0", entries[:-1]))
    whole, row = (
        of(each, *FIDS) for each in (found().all_networks, elsewhere(home(PLACES), there).all_networks)
    )
    assert (whole.networks, whole.alike) == (16, 16)
    assert (row.networks, row.seeds, row.alike) == (16, (2, 2), 15)
    assert middle(row.means) == middle(row.most) == pytest.approx(1)


def test_networks_of_too_few_shared_seeds_have_an_order_and_no_ceiling() -> None:
    """Two of sixteen have two seeds here; the others one."""
    world = World(noise=0.0001, truth=lambda network: quality(PLACES)[network.id])
    entries = [(network, 0) for network in SIXTEEN[:8]] + [(network, 1) for network in SIXTEEN[8:]]
    here = table(world.run("table", entries + [(network, 1) for network in SIXTEEN[:2]]))
    row = of(elsewhere(here, away(PLACES)).all_networks, *FIDS)
    assert (row.networks, row.seeds) == (16, (1, 2)) and 8 <= row.alike < 16
    assert middle(row.means) == pytest.approx(1) and row.most is None


def test_the_limit_stands_beside_the_means_that_it_limits(tmp_path: Path) -> None:
    """Of sixteen networks twelve have two seeds here, the others one: of the twelve is the limit, and the
    correlation beside it."""
    world = World(noise=0.3, truth=lambda network: quality(PLACES)[network.id])
    here = world.run("table", [(network, 0) for network in SIXTEEN] + [(n, 1) for n in SIXTEEN[:12]])
    there = Photographs(noise=0.3, truth=lambda network: quality(PLACES)[network.id], header=DECIDES)
    away_runs = there.run("emoji-seed-0", [(network, seed) for seed in (0, 1) for network in SIXTEEN])
    row = of(elsewhere(table(here), table(away_runs)).all_networks, *FIDS)
    few = of(
        elsewhere(
            table(world.run("table", [(network, seed) for seed in (0, 1) for network in SIXTEEN[:12]])),
            table(away_runs),
        ).all_networks,
        *FIDS,
    )
    assert (row.networks, row.alike, few.networks) == (16, 12, 12)
    assert row.shared == few.means == few.shared != row.means
    assert row.most == few.most is not None
    write_bundle(tmp_path / "a.jsonl.gz", [here, away_runs])
    main([str(tmp_path / "a.jsonl.gz"), f"out={tmp_path / 'page.md'}"])
    text = (tmp_path / "page.md").read_text()
    assert re.search(r"over \d+ sound networks \(of the \d that share seeds .*, at most ", text)


def test_networks_that_one_side_lacks_are_left_out() -> None:
    world = Photographs(truth=lambda network: quality(PLACES)[network.id], header=DECIDES)
    few = table(world.run("emoji-seed-0", [(network, seed) for seed in (0, 1) for network in SIXTEEN[:4]]))
    assert elsewhere(home(PLACES), few).all_networks == ()  # fewer than six


# ---------------------------------------------------------------------- the paper's decisions

SHARED, SWISH = (next(d for d in PAPER_DECISIONS if d.slug == slug) for slug in ("shared_kv", "swish"))


def planted_decisions(turned: tuple[str, ...], at_home: int = 1) -> Elsewhere:
    """MD with its two partners: the paper's side is better at home (if `at_home`, else the same), and worse
    there in what is turned."""
    partners = {d.slug: d.partner(MD, md_space()) for d in (SHARED, SWISH)}
    networks = [MD, *(partner for partner in partners.values() if partner is not None)]

    def truth(sign: dict[str, int]) -> dict[str, float]:
        less = {p.id: 0.7 - 0.2 * sign[slug] for slug, p in partners.items() if p is not None}
        return {MD.id: 0.7} | less

    home_truth = truth({"shared_kv": at_home, "swish": at_home})
    away_truth = truth({slug: -1 if slug in turned else 1 for slug in partners})
    entries = [(network, seed) for seed in (0, 1) for network in networks]
    here = World(noise=0.01, truth=lambda n: home_truth[n.id]).run("table", entries)
    there = Photographs(noise=0.01, truth=lambda n: away_truth[n.id], header=DECIDES).run("emoji", entries)
    return elsewhere(table(here), table(there))


def test_a_decision_that_comes_out_otherwise_is_told() -> None:
    told = {each.decision.slug: each for each in planted_decisions(("swish",)).decisions}
    assert told.keys() == {"shared_kv", "swish"}
    assert (told["shared_kv"].word, told["swish"].word) == ("as here", "otherwise")
    assert told["swish"].pairs == 1
    assert told["swish"].here[1].middle == pytest.approx(0.2, abs=0.05)  # CLIP
    assert told["swish"].there[1].middle == pytest.approx(-0.2, abs=0.05)


def test_a_pair_without_a_shared_seed_is_left_out_by_name_and_leaves_the_others() -> None:
    """MD with its two partners, of which one has other seeds there than MD."""
    partners = [d.partner(MD, md_space()) for d in (SHARED, SWISH)]
    shared, swish = (partner for partner in partners if partner is not None)
    truth = {MD.id: 0.7, shared.id: 0.5, swish.id: 0.5}
    both = [(network, seed) for seed in (0, 1) for network in (MD, shared)]
    here = World(noise=0.01, truth=lambda n: truth[n.id]).run("table", [*both, (swish, 0), (swish, 1)])
    there = Photographs(noise=0.01, truth=lambda n: truth[n.id], header=DECIDES).run(
        "emoji-seed-0", [*both, (swish, 2), (swish, 3)]
    )
    found = elsewhere(table(here), table(there))
    told = {each.decision.slug: (each.pairs, each.unshared, each.word) for each in found.decisions}
    assert told == {"shared_kv": (1, 0, "as here"), "swish": (0, 1, "undecided")}
    text = page(found, (table(here), table(there)), [here, there], "mdsearch")
    assert "| 0 (1 without a shared seed) |" in text


def test_what_is_decided_on_one_side_alone_is_undecided() -> None:
    told = {each.decision.slug: each for each in planted_decisions((), at_home=0).decisions}
    assert {each.word for each in told.values()} == {"undecided"}
    assert told["swish"].here[1].sign == 0 and told["swish"].there[1].sign == 1


def test_runs_that_ended_early_are_named() -> None:
    there = replace(away(PLACES), left_out=("emoji/7: failed, evaluated at steps [125]",))
    (line,) = ended_early("There", there)
    assert line.startswith("There: 1 run not at the end, which count nowhere: emoji/7: failed")
    assert ended_early("Here", home(PLACES)) == []


# ---------------------------------------------------------------------- the command


def test_one_command_writes_the_page(tmp_path: Path) -> None:
    entries = [(network, seed) for seed in (0, 1) for network in SIXTEEN]
    here = World(noise=0.01, truth=lambda network: quality(PLACES)[network.id])
    there = Photographs(noise=0.01, truth=lambda network: quality(PLACES)[network.id], header=DECIDES)
    write_bundle(tmp_path / "a.jsonl.gz", [here.run("table", entries), there.run("emoji-seed-0", entries)])
    words = [str(tmp_path / "a.jsonl.gz"), f"out={tmp_path / 'page.md'}"]
    assert main(words) == 0
    text = (tmp_path / "page.md").read_text()
    assert "FID embedded clip here and FID efficientnet lite0 there: 1.00" in text and "carries over" in text
    assert f"`mdsearch evidence elsewhere {shlex.quote(words[0])}" in text
    assert "Not recorded yet: pairs of networks" in text and "not at the end" not in text
    main(words)
    assert (tmp_path / "page.md").read_text() == text
    swapped = ["here=[emoji-*]", "there=[table]"]
    with pytest.raises(InputError, match=r"^here: .* scored by fid_efficientnet_lite0; needed: scenes by"):
        main([*words, *swapped])
    same = {"data": {"name": "scenes", "seed": 0}}
    write_bundle(
        tmp_path / "same.jsonl.gz",
        [
            replace(each, header=same).run(name, entries)
            for name, each in (("table", here), ("emoji-seed-0", replace(there, header=DECIDES | same)))
        ],
    )
    with pytest.raises(InputError, match=r"^there: emoji-seed-\* saw the same images as here \(scenes\)"):
        main([str(tmp_path / "same.jsonl.gz"), words[1]])
    for more, said in (
        ("there=[nobody-*]", "there: no run of full length is called nobody-"),
        ("there=[table]", "there: table is one of here, too; allowed: a run on one side"),
        ("here=[]", "here: empty; allowed: one pattern of names or more"),
        ("out=page.txt", r"out: 'page.txt' is no page"),
    ):
        with pytest.raises(InputError, match=said):
            main([words[0], more] if "out" in more else [*words, more])
    with pytest.raises(InputError, match="no run named"):
        main(words[1:])


@pytest.mark.slow
def test_the_page_of_the_docs_is_what_its_command_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    main(["recorded", "out=docs/emoji.md"])
    page_there = Path(__file__).parents[3] / "docs" / "emoji.md"
    assert (tmp_path / "docs" / "emoji.md").read_text() == page_there.read_text()
