"""The command that writes recorded networks to be trained again: which, in what order, by which search."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.compose import compose
from mdsearch.commands.evidence_again import main
from search.named import named_architecture
from search.runs.record import read_history
from search.settings import settings_from_plain
from space.shared.plain import InputError
from tests.analysis.replay.recordings import write_run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("trials=6", "sampler=sobol", "stopping=none", "enqueue=[md,md_lite]")
    return write_run(tmp_path_factory.mktemp("runs") / "table", *words)


def test_the_search_that_it_prints_trains_the_first_networks(table: Path, tmp_path: Path, capsys) -> None:
    assert main([str(table), f"out={tmp_path / 'first'}", "networks=4", "name=seeds-1"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("train them: "))
    words = [word.strip("'") for word in line.split()[5:]]
    settings = settings_from_plain(compose("search", [*words, "seed=1"]))
    enqueued = [named_architecture(name).id for name in settings.enqueue]
    assert enqueued == [trial.architecture.id for trial in read_history(table).trials[:4]]
    assert (settings.name, settings.trials, settings.seed) == ("seeds-1", 4, 1)
    assert settings.stopping.name == "none"  # as the recorded run had it


def test_each_network_once_and_only_complete_ones(table: Path, tmp_path: Path) -> None:
    again = write_run(
        tmp_path / "again", "trials=6", "sampler=sobol", "stopping=none", "enqueue=[md,md_lite]"
    )
    main([str(table), str(again), f"out={tmp_path / 'all'}", "networks=6"])
    files = sorted((tmp_path / "all").iterdir())
    assert [file.name for file in files] == [f"{n:03d}-table_{n}.yaml" for n in range(6)]
    with pytest.raises(InputError, match="networks: 7 are more than 6 complete networks of"):
        main([str(table), str(again), f"out={tmp_path / 'more'}", "networks=7"])
    assert not (tmp_path / "more").exists()


def test_what_cannot_be_used_is_refused(table: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    for words, said in (
        ([f"out={tmp_path}"], "no run named"),
        ([str(table), f"out={tmp_path}", "networks=0"], "networks: 0 is too few"),
        ([str(table), f"out={tmp_path}", "networks=2"], "holds mine.yaml too"),
        ([str(tmp_path / "gone"), f"out={tmp_path}"], "gone"),
    ):
        with pytest.raises(InputError, match=said):
            main(words)
