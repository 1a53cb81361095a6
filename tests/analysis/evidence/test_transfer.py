"""The same networks under another proxy: orders, winners, and how many networks would know."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.evidence.metrics import sound_networks
from analysis.evidence.resampling import spearman
from analysis.evidence.transfer import networks_needed, orders, transfer, transfer_chapter
from analysis.evidence.winners import winners_of
from tests.analysis.evidence.tables import FORTY, MD, MD_LITE, TWENTY, seeded, table
from tests.search.made_up import World


def test_what_carries_over_to_another_proxy() -> None:
    near = seeded(World(noise=0.0), TWENTY, range(1))
    far = table(World(noise=0.0, rungs=(50,)).run("bigger", [(network, 0) for network in TWENTY[:12]]))
    fid, clip, *_ = orders(near, far)
    assert (fid.networks, clip.networks) == (12, 12)
    assert fid.correlation is not None and fid.correlation.middle == pytest.approx(1)
    assert fid.sound_networks == len(sound_networks(near) & far.runs.keys()) < 12
    assert fid.among_sound is not None and fid.among_sound.middle == pytest.approx(1)
    few = table(World().run("bigger", [(network, 0) for network in TWENTY[:4]]))
    assert orders(near, few)[0].correlation is None


def test_a_winner_may_lose_under_the_bigger_proxy() -> None:
    winner, first, *rest = TWENTY[:10]
    near = {winner.id: 1.0, MD.id: 0.5, MD_LITE.id: 0.4, first.id: 0.3}
    far = {winner.id: 0.1, MD.id: 1.5, MD_LITE.id: 0.1, first.id: 2.0}
    seen, bigger = (
        World(noise=0.001, truth=lambda network, truths=truths: truths.get(network.id, 0.0))
        for truths in (near, far)
    )
    all_of_them = [MD, MD_LITE, first, *rest]
    runs = [(network, seed) for seed in (3, 4) for network in (*all_of_them, winner)]
    search = seen.run(
        "after-0", [(winner, 0)], confirmations=[("trial 0", winner, 7), ("trial 0", winner, 8)]
    )
    of_table = seeded(seen, all_of_them, range(3))
    twice = {"after-0": search.history, "default-0": search.history}
    found = winners_of(twice, MD, FORTY, of_table, of_table.space)
    assert found is not None
    both = transfer(
        of_table, table(bigger.run("bigger", runs)), {"md": MD, "md_lite": MD_LITE}, found.winners
    )
    assert [each.name for each in both.networks][:2] == ["table 2", "MD"]
    (own,) = both.winners
    assert (own.name, own.seeds) == ("after-0 and default-0", 2)
    assert own.near is not None and own.near.clip == pytest.approx(1, abs=0.01)
    assert {verdict.against: verdict.word for verdict in own.verdicts} == {
        "MD": "worse",
        "MD-Lite": "undecided",
    }
    text = " ".join(transfer_chapter(both, "").findings)
    assert (
        f"By FID, as observed, MD is number 1 of {len(all_of_them)} networks in the table and number 2"
        in text
    )
    assert "Of 1 winner of searches trained there, against MD: 1 worse" in text


def test_a_rank_correlation_is_known_to_so_many_networks() -> None:
    chance, count = np.random.default_rng(0), networks_needed(0.6, 0.1)
    sampled = chance.multivariate_normal([0, 0], [[1, 0.618], [0.618, 1]], (2000, count))  # Spearman's: .6
    low, high = np.quantile(spearman(sampled), [0.025, 0.975])
    assert (high - low) / 2 == pytest.approx(0.1, rel=0.06)
