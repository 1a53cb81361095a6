"""Sound networks to compare proxies on: spread, whatever their scores, with the searches that train them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from analysis.evidence.decisions import PAPER_DECISIONS, pairs_among
from analysis.evidence.metrics import sound_networks
from analysis.evidence.sound import chosen_networks, traits, with_pairs
from conf.compose import compose
from mdsearch.commands.evidence_sound import main
from search.runs.bundle import write_bundle
from search.settings import SearchSettings, settings_from_plain
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.analysis.evidence.tables import FORTY, MD, MD_LITE, of_papers_space, seeded
from tests.search.made_up import World
from tests.search.worlds import md_space

BROKEN = {network.id for network in FORTY[::4]}


def world(best: int) -> World:
    """Some networks fail; of the others those are best that `best` says."""
    return World(noise=0.001, truth=lambda one: 0.1 if one.id in BROKEN else 0.5 + int(one.id, 16) % best / 9)


def test_of_scores_only_soundness_is_looked_at() -> None:
    all_of_them = [MD, MD_LITE, *FORTY]
    spread = {network.id for network in FORTY}
    table, other = (seeded(world(best), all_of_them, range(2)) for best in (3, 7))
    assert sound_networks(table) == sound_networks(other) == {n.id for n in all_of_them} - BROKEN
    chosen = chosen_networks(table, [MD, MD_LITE], spread, 16, 2)
    assert [network.id for network in chosen[:2]] == [MD.id, MD_LITE.id]
    assert len({network.id for network in chosen}) == 16 and not BROKEN & {n.id for n in chosen}
    assert chosen == chosen_networks(other, [MD, MD_LITE], spread, 16, 2)
    assert chosen[:9] == chosen_networks(table, [MD, MD_LITE], spread, 9, 2)  # the first few are spread, too


def test_each_is_as_far_as_can_be_from_those_before_it() -> None:
    near_md, wide, deep, shallow = (
        of_papers_space(*each) for each in ((1024, 3, 4), (1280, 1, 1), (768, 4, 4), (768, 1, 1))
    )
    networks = [MD, near_md, wide, deep, shallow]
    assert traits(deep) == (20, 768, (False, False, False, True, True, True))
    table = seeded(World(truth=lambda _: 1.0), networks, range(1))
    chosen = chosen_networks(table, [MD], {network.id for network in networks}, 5, 1)
    # MD is two thirds deep and half wide: wide and shallow are .83 from it and 1 apart, deep is .6 from it.
    assert [network.id for network in chosen] == [n.id for n in (MD, wide, shallow, deep, near_md)]


def test_networks_without_enough_runs_are_left_out() -> None:
    table = seeded(World(truth=lambda _: 1.0), [MD, *FORTY[:5]], range(2))
    spread = {network.id for network in FORTY[:5]}
    assert len(chosen_networks(table, [MD], spread, 6, 2)) == 6
    for bases, count, seeds, said in (
        ([MD], 7, 2, r"count: 7 is not possible; allowed: 1 \(bases\) to 6"),
        ([MD], 6, 3, "bases: e7d9e606fec8 is not among the networks of a mean FID under 500 with 3 runs"),
        ([MD_LITE], 3, 2, f"bases: {MD_LITE.id} is not"),
    ):
        with pytest.raises(InputError, match=said):
            chosen_networks(table, bases, spread, count, seeds)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "mine.jsonl.gz"
    runs = [(n, 0) for n in FORTY]
    write_bundle(
        path,
        [
            world(3).run("table", runs),
            world(3).run("seeds-1", [(MD, 0), (MD, 1), *[(n, 1) for n, _ in runs]], source="enqueued"),
        ],
    )
    return path


def test_the_searches_that_it_prints_train_them(bundle: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "sound"
    assert main([str(bundle), f"out={out}", "count=5", "bases=[md]", "training_seeds=[3]"]) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if "mdsearch search" in line]
    searches: dict[str | None, SearchSettings] = {}
    for words in lines:
        settings = settings_from_plain(compose("search", words[2:]))
        searches[settings.name] = settings
    assert list(searches) == ["proxy-tokens-seed-3", "proxy-thorough-seed-3", "reference-seed-3"]
    files = sorted(out.glob("*.yaml"))
    assert Architecture.load(files[0]) == MD and len(files) == 5
    for each in searches.values():
        assert [Path(one).name for one in each.enqueue] == [file.name for file in files]
        assert (each.seed, each.trials, each.recorded) == (3, 5, False)
        assert (each.stopping.name, each.confirmation.seeds) == ("none", 0)
        factor = each.training.latents.factor
        assert each.proxy.latent_size == each.data.image_size_px // factor
        assert each.proxy.latent_channels == 3 * factor**2 + 2
    assert [searches[f"{name}-seed-3"].rungs[-1] for name in ("proxy-tokens", "reference")] == [1000, 2000]


def test_what_cannot_be_used_is_refused(bundle: Path, tmp_path: Path) -> None:
    for words, said in (
        ([f"out={tmp_path}"], "no run named"),
        ([str(bundle), f"out={tmp_path}", "count=0"], "count: 0 is too few"),
        ([str(bundle), f"out={tmp_path}", "table=[mine]"], "no run of full length is called mine"),
        ([str(bundle), f"out={tmp_path}", "bases=[md_lte]"], "did you mean 'md_lite'"),
        ([str(bundle), f"out={tmp_path}"], f"bases: {MD_LITE.id} is not among"),
    ):
        with pytest.raises(InputError, match=said):
            main(words)
    assert list(tmp_path.iterdir()) == []


def test_pairs_of_the_papers_decisions_join_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space, partners = md_space(), {}
    for decision in PAPER_DECISIONS:
        partners[decision.slug] = next(
            (pair for pair in ((n, decision.partner(n, space)) for n in FORTY) if pair[1] is not None), None
        )
    planted = {slug: pair for slug, pair in partners.items() if pair is not None}
    networks = {n.id: n for pair in planted.values() for n in pair if n is not None}
    rest = [n for n in [MD, *FORTY[:5]] if n.id not in networks]
    table = seeded(World(truth=lambda _: 1.0), [*rest, *networks.values()], range(2))
    chosen = chosen_networks(table, [MD], {n.id for n in FORTY[:5]}, 3, 2)
    assert with_pairs(table, chosen, 0) == chosen
    found = with_pairs(table, chosen, 1)
    assert found[:3] == chosen and len({n.id for n in found}) == len(found)
    counts = {one.slug: len(pairs_among(one, found, table.space)) for one in PAPER_DECISIONS}
    assert len(planted) >= 7 and all(counts[slug] >= 1 for slug in planted)


def test_other_images_alone(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(bundle), f"out={tmp_path / 'out'}", "count=3", "bases=[md]", "proxies=null", "reference=[]"]
    assert main([*words, '+elsewhere.emoji=["experiment=emoji"]', "pairs=1"]) == 0
    said = capsys.readouterr().out
    assert "pairs that differ in one of the paper's decisions: sa_middle " in said
    lines = [shlex.split(line) for line in said.splitlines() if "mdsearch search" in line]
    names = [settings_from_plain(compose("search", words[2:])).name for words in lines]
    assert names == ["emoji-seed-0", "emoji-seed-1"]
    with pytest.raises(InputError, match="proxies: none, nor elsewhere or reference"):
        main(words)
