"""The page of evidence: from one file, always the same, and true also where most is not recorded yet."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.evidence import resampling, standing
from analysis.evidence.decisions import PAPER_DECISIONS
from mdsearch.commands.evidence import main
from search.named import named_architecture
from search.runs.bundle import Bundled, write_bundle
from space.architecture import Architecture
from space.proxy import Proxy
from space.shared.plain import InputError, to_plain
from tests.analysis.evidence.tables import PAPER, near_budget
from tests.search.made_up import RUNGS, World, networks
from tests.search.worlds import md_space, preset

MD, MD_LITE = named_architecture("md"), named_architecture("md_lite")
WORLD = World(noise=0.05, common=0.3)
SECTIONS = (
    "What was found",
    "What was recorded",
    "Noise",
    "Rungs against the end",
    "What predicts the end",
    "The paper's decisions, by matched pairs",
    "Where MD and MD-Lite rank",
    "What goes with a good score",
    "What searches found",
    "A bigger proxy",
    "Width against depth at one budget",
    "Where the paper's own searches end",
    "Is there a better proxy?",
    "What this proxy cannot decide",
    "Provenance",
)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page says is tested here, not how finely its intervals are sampled."""
    monkeypatch.setattr(resampling, "BOOTSTRAP_SAMPLES", 100)
    monkeypatch.setattr(standing, "NOISE_SAMPLES", 50)


def enqueued(run: Bundled, count: int) -> Bundled:
    """The same run, its first networks named by hand."""
    keys = {str(number) for number in range(count)}
    events = [
        event | {"source": "enqueued"} if event["event"] == "proposed" and event["key"] in keys else event
        for event in run.events
    ]
    return replace(run, events=tuple(events))


def a_table(count: int) -> Bundled:
    return enqueued(WORLD.run("table", [(network, 0) for network in (MD, MD_LITE, *networks(count))]), 2)


def everything() -> list[Bundled]:
    """Small runs of every part."""
    spread = networks(16)
    first = [MD, MD_LITE, *spread[:10]]
    partners: dict[str, Architecture] = {}
    for network in (MD, MD_LITE, *spread[:6]):
        for decision in PAPER_DECISIONS[-2:]:
            partner = decision.partner(network, md_space())
            if partner is not None:
                partners[partner.id] = partner
    wide = to_plain(replace(preset("proxy", "embedded", Proxy), width_divisor=4))
    papers = {"space": to_plain(PAPER)}
    paper = World(rungs=(400, 1600), header=papers)

    def papers_search(seed: int) -> Bundled:
        world = World(rungs=(400, 1600), header=papers | {"seed": seed})
        return world.run(f"md-{seed}", [(MD, seed), (MD_LITE, seed)])

    runs = [
        a_table(16),
        *(WORLD.run(f"seeds-{seed}", [(n, seed) for n in first], source="enqueued") for seed in (1, 2)),
        WORLD.run("pairs", [(partner, 0) for partner in partners.values()], source="enqueued"),
        World(rungs=(400, 1600)).run("long", [(n, 0) for n in first], source="enqueued"),
        World(header={"proxy": wide}).run(
            "bigger", [(n, 0) for n in first] + [(n, 1) for n in first[:3]], source="enqueued"
        ),
        paper.run("paper-0", [(n, 0) for n in near_budget()], source="enqueued"),
        *(papers_search(seed) for seed in range(4)),
        World(header={"proxy": wide}).run("proxy-mine-seed-0", [(n, 0) for n in first], source="enqueued"),
        *(
            World(rungs=(400, 1600)).run(f"reference-seed-{seed}", [(n, seed) for n in first])
            for seed in (0, 1)
        ),
    ]
    for number in range(4):
        tried = networks(3, seed=number + 1)
        confirmed = [("trial 0", tried[0]), ("md", MD)]
        runs.append(
            WORLD.run(
                f"before-{number}",
                [(network, 0) for network in tried],
                sampler="tpe",
                confirmations=[(name, n, 100 + seed) for seed in (0, 1) for name, n in confirmed],
            )
        )
    return [*runs, WORLD.run("stray", [(MD, 7)])]


def write(folder: Path, runs: list[Bundled], *words: str) -> str:
    """The page of these runs."""
    write_bundle(folder / "recorded.jsonl.gz", runs)
    assert main([str(folder / "recorded.jsonl.gz"), f"out={folder / 'page.md'}", *words]) == 0
    return (folder / "page.md").read_text()


def titles(page: str) -> tuple[str, ...]:
    return tuple(re.findall(r"^## (.*)$", page, re.MULTILINE))


def check(page: str, folder: Path) -> None:
    assert not re.search(r"\bnan\b|\binf\b|None", page)
    for name in re.findall(r"\]\((page/\w+\.png)\)", page):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_page_of_everything(tmp_path: Path) -> None:
    page = write(tmp_path, everything())
    check(page, tmp_path)
    assert titles(page) == SECTIONS
    assert "Not recorded yet" not in page
    assert len(re.findall(r"\]\(page/\w+\.png\)", page)) == 7
    for line in (
        "| of them space-filling | 16 | - |",
        "| of them with three seeds or more | 12 | 30 |",
        "Runs that have no part here: stray.",
        "Different for the bigger proxy: proxy.width_divisor: 16 against 4.",
        "Different for the proxy mine: proxy.width_divisor: 16 against 4.",
        "| the reference of the proxies | 12 | 400 |",
        "| the default, longer | 400 | 1 of 1 |",
        "| mine | 400 | 1 of 1 |",
        "### By level of quality",
        "| the bigger proxy | 3 | 400 |",
        "- before-3: `mdsearch search name=before-3`",
        "Of 4 searches `md` the winners are, in their confirmation, against MD: 4 not confirmed;",
        "Of 4 searches `before` the winners are, in their confirmation, against MD:",
    ):
        assert line in page


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    runs = [a_table(10), WORLD.run("seeds-1", [(network, 1) for network in networks(10)], source="enqueued")]
    (tmp_path / "b").mkdir()
    page, again = write(tmp_path, runs), write(tmp_path / "b", runs)
    assert again.replace(str(tmp_path / "b"), str(tmp_path)) == page
    names = sorted(file.name for file in (tmp_path / "page").iterdir())
    assert names == ["correlation.png", "curves.png", "scores.png"]
    for name in names:
        assert (tmp_path / "b" / "page" / name).read_bytes() == (tmp_path / "page" / name).read_bytes()


@pytest.mark.parametrize("count", [1, 6])
def test_the_page_of_a_table_that_has_just_begun(count: int, tmp_path: Path) -> None:
    page = write(tmp_path, [a_table(count)])
    check(page, tmp_path)
    assert titles(page) == SECTIONS
    for waiting in (
        "runs `seeds-*`",
        "run `pairs`",
        "runs `before-*` and `after-*`",
        "run `bigger`",
        "run `paper`",
        "runs `reference-*` beside `proxy-*`",
    ):
        assert waiting in page
    assert ("| FID | 100 |" in page) == (count == 6)


def test_the_page_of_nothing_that_is_complete(tmp_path: Path) -> None:
    run = a_table(2)
    events = tuple(event for event in run.events if event["event"] != "ended")
    page = write(tmp_path, [replace(run, events=events)])
    check(page, tmp_path)
    assert "The table" in page and "Not recorded yet: networks of full length" in page
    assert "| networks of the table | 0 | 150 |" in page


def test_without_space_filling_networks_only_pairs_speak(tmp_path: Path) -> None:
    gelu = replace(MD, activation="gelu"), replace(MD_LITE, activation="gelu")
    run = WORLD.run("table", [(network, 0) for network in (MD, MD_LITE, *gelu)], source="enqueued")
    page = write(tmp_path, [run])
    check(page, tmp_path)
    assert "activation of the feed-forward: swish, not gelu | 2 |" in page


def test_names_of_runs_are_patterns(tmp_path: Path) -> None:
    mine = replace(a_table(6), name="mine-1")
    page = write(tmp_path, [mine], "table=[mine-*]")
    assert "| of them space-filling | 6 | - |" in page and "Runs that have no part" not in page


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "recorded.jsonl.gz"
    other = World(rungs=RUNGS[:2]).run("seeds-1", [(MD, 1)])
    write_bundle(bundle, [a_table(1), other])
    (tmp_path / "file").write_text("")
    for words, said in (
        ([], "no run named"),
        ([str(bundle), "out=a.txt"], "'a.txt' is no page"),
        ([str(bundle), "table=[]"], "table: empty"),
        ([str(bundle), "tables=[a]"], "did you mean 'table'"),
        ([str(tmp_path / "none.jsonl.gz")], "cannot be read as a bundle"),
        ([str(bundle), f"out={tmp_path / 'a.md'}"], "measured differently"),
        ([f"{bundle}:table", f"out={tmp_path / 'file' / 'a.md'}"], "cannot be written"),
    ):
        with pytest.raises(InputError, match=said):
            main(words)
    assert not (tmp_path / "a.md").exists()
