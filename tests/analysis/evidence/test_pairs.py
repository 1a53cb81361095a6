"""The command that writes partners: chosen by structure, within the budget, spread, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.evidence.decisions import PAPER_DECISIONS
from analysis.evidence.partners import missing_partners, space_filling_bases
from conf.compose import compose
from mdsearch.commands.evidence_pairs import main
from search.runs.record import read_history
from search.settings import settings_from_plain
from space.architecture import Architecture
from space.difference import difference
from space.prices.macs import price
from space.shared.plain import InputError
from tests.analysis.replay.recordings import write_run
from tests.search.worlds import MD_BUDGET, md_space

WORDS = ("sampler=sobol", "stopping=none", "enqueue=[md,md_lite]")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "table", "trials=16", *WORDS)


def written(folder: Path) -> dict[str, Architecture]:
    return {file.name: Architecture.load(file) for file in sorted(folder.glob("*.yaml"))}


def test_partners_are_new_fit_and_are_found_as_pairs(table: Path, tmp_path: Path, capsys) -> None:
    assert main([str(table), f"out={tmp_path / 'a'}", "pairs=3"]) == 0
    shown = capsys.readouterr().out
    files = written(tmp_path / "a")
    known = {trial.architecture.id for trial in read_history(table).trials}
    assert len({each.id for each in files.values()} - known) == len(files) > 15
    assert not any(MD_BUDGET.excess(price(each)) for each in files.values())
    assert list(files)[:2] == ["000-md-sa_middle.yaml", "001-md-ca_middle.yaml"]
    assert "md-shared_kv" not in "".join(files)  # 403 M parameters
    for decision in PAPER_DECISIONS:
        assert sum(name.endswith(f"-{decision.slug}.yaml") for name in files) <= 3
        assert f"{decision.name} " in shown
    assert f"written: {len(files)} networks" in shown
    # What it prints is what enqueues them.
    line = next(line for line in shown.splitlines() if line.startswith("train them: "))
    words = [word.strip("'") for word in line.split()[4:]]
    assert len(settings_from_plain(compose("search", words[1:])).enqueue) == len(files)

    assert main([str(table), f"out={tmp_path / 'b'}", "pairs=3"]) == 0
    again = {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()}
    assert again == {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()}


def test_what_is_recorded_by_then_is_not_written_again(table: Path, tmp_path: Path, capsys) -> None:
    main([str(table), f"out={tmp_path / 'a'}", "pairs=2"])
    count = len(written(tmp_path / "a"))
    pairs = write_run(
        tmp_path / "pairs", f"trials={count}", *WORDS[:2], f"enqueue=[{tmp_path / 'a'}]", "confirmation=none"
    )
    capsys.readouterr()
    main([str(table), str(pairs), f"out={tmp_path / 'b'}", "pairs=2"])
    assert "written: 0 networks" in capsys.readouterr().out
    assert written(tmp_path / "b") == {}


def test_bases_are_chosen_by_structure_in_their_order(table: Path) -> None:
    bases = list(space_filling_bases({"table": read_history(table)}))
    numbers = [int(base.name.rpartition("_")[2]) for base in bases]
    assert numbers == sorted(numbers) and min(numbers) > 1  # MD and MD-Lite were enqueued
    for base in bases:
        assert all(level.layers and level.cross_attention for level in base.architecture.levels[1:])
    partners = missing_partners(bases, [], md_space(), MD_BUDGET, 2)
    for partner in partners:
        changed = difference(partner.base.architecture, partner.architecture)
        assert len(changed) == 1 or partner.decision.slug == "width_for_depth"
    order = [numbers[bases.index(partner.base)] for partner in partners]
    assert order == sorted(order)


def test_a_search_that_favours_regions_gives_no_bases(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "trials=6", "sampler=tpe", "stopping=none")
    assert list(space_filling_bases({"a": read_history(run)})) == []


def test_what_cannot_be_used_is_refused(table: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", "trials=2", "rungs=[100,400]")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.yaml").write_text("")
    (tmp_path / "file").write_text("")
    for words, said in (
        ([f"out={tmp_path}"], "no run named"),
        ([str(table), f"out={tmp_path}", "pairs=0"], "pairs: 0 is too few"),
        ([str(table), f"out={tmp_path}", "bases=[md_lte]"], "did you mean 'md_lite'"),
        ([str(table), str(other), f"out={tmp_path}"], "measured differently"),
        ([str(table), f"out={tmp_path / 'full'}"], "holds mine.yaml too"),
        ([str(table), f"out={tmp_path / 'file' / 'a'}"], "cannot be written: Not a directory"),
    ):
        with pytest.raises(InputError, match=said):
            main(words)
