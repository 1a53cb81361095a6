"""What the commands of a search refuse: in one message that names the field, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import search.run
import search.unets
from conf.repeated import without
from mdsearch.api import settings_of
from mdsearch.commands import confirm
from mdsearch.commands.search import main
from search.runs.record import RECORD_NAME
from space.shared.plain import InputError

CONF = Path(__file__).parents[2] / "conf"


class Started(Exception):
    """The search went past every check."""


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def start(*arguments: object) -> None:
        raise Started

    monkeypatch.setattr(search.unets, "evaluator_of", start)
    yield


def test_a_folder_stands_for_the_architectures_in_it(tmp_path: Path) -> None:
    for name, preset in (("b.yaml", "md"), ("a.yaml", "md_lite")):
        (tmp_path / name).write_text(Path(f"conf/arch/{preset}.yaml").read_text())
    settings, _ = settings_of([f"enqueue=[md,{tmp_path}]"])
    assert settings.enqueue == ("md", f"{tmp_path}/a.yaml", f"{tmp_path}/b.yaml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no \.yaml file"):
        settings_of([f"enqueue=[{tmp_path / 'empty'}]"])


def refused(folder: Path, *words: str) -> str:
    """The message; nothing must have been written into the runs folder."""
    before = sorted(folder.iterdir())
    with pytest.raises(InputError) as caught:
        main([*without([f"runs_folder={folder}"], words), *words])
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("budgett=md", "did you mean 'budget'?"),
        (
            "+space.levels.inner.channels=[64]",
            "space.levels: level_1, level_2, level_3, inner go by their names",
        ),
        ("budget=md_light", "did you mean 'md_lite'?"),
        ("trials=0", "trials: 0 is too few"),
        ("rungs=[4,2]", "rungs: [4, 2] do not rise"),
        ("name=a/b", "name: 'a/b' is no name of a folder"),
        ("stopping.name=sha", "did you mean 'asha'?"),
        ("noise.deviations=-1", "noise.deviations: -1.0 is negative"),
        ("cluster.workers=0", "cluster.workers: 0 is too few"),
        ("cluster.cpus_per_worker=0", "cluster.cpus_per_worker: 0 is too few"),
        (
            "cluster.gpus_per_worker=2",
            "cluster.gpus_per_worker: 2, where a worker trains on one; allowed: 0 to",
        ),
        ("cluster.dashboard_port=0", "cluster.dashboard_port: 0 is no port; allowed: 1 to 65535, or null"),
        ("cluster=existing cluster.address=nowhere", "cluster.address: 'nowhere' is no address"),
        ("confirmation.steps=-1", "confirmation.steps: -1 is too few"),
        ("confirmation.references=[mdd]", "did you mean 'md'?"),
        ("enqueue=[nowhere.yaml]", "enqueue: nowhere.yaml: cannot be read as an architecture"),
        ("enqueue=[md,md]", "enqueue: md and md are one network"),
        ("enqueue=[md,md_lite] trials=1", "2 architectures are more than trials=1"),
        (
            "proxy.latent_size=null +space.base.latent_size=96",
            "references: md: latent_size is 64, where this search trains with 96; needed: proxy.latent_",
        ),
        ("enqueue=[md] budget=md_lite", "enqueue: md is over budget: 387.4 M parameters > 280"),
        ("space.levels.level_3.channels=[1000]", "space.levels[2].channels: 1000 does not divide"),
        ("space.levels.level_3.channels=[]", "space.levels.level_3.channels: no value left"),
        ("proxy.width_divisor=7", "does not divide by proxy.width_divisor = 7"),
        ("data.image_size_px=32", "needed: data.image_size_px=24"),
        ("data=folder data.folder=/nowhere", "data.folder: '/nowhere' is no folder"),
        ("data.seed=-1", "data.seed: -1 is not possible"),
        ("training.diffusion.beta_end=2", "training.diffusion.beta_start: 0.0001, beta_end: 2; allowed"),
        ("evaluators.random_conv.seed=-1", "evaluators.random_conv.seed: -1 is not possible"),
        ("training.text.heads=5", "text.heads: 5 does not divide the context width 48"),
        ("resume=/nowhere", "/nowhere: no record.jsonl here"),
        ("prior=[/nowhere]", "/nowhere: no record.jsonl here"),
    ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_claimed(
    words: str, said: str, tmp_path: Path
) -> None:
    assert said in refused(tmp_path, *words.split())


@pytest.mark.parametrize("bound", ["gmacs", "parameters_millions"])
def test_an_impossible_budget_is_told_what_the_smallest_costs(bound: str, tmp_path: Path) -> None:
    message = refused(tmp_path, f"budget.{bound}=10")
    assert message.startswith(f"budget.{bound}: nothing of this space fits")
    assert message.endswith("its smallest architecture costs 63.3 M parameters and 37.2 GMACs")


@pytest.mark.parametrize(
    ("words", "clause"),
    [
        ("budget.gmacs_without_attention_products=10", "GMACs without attention products > 10"),
        ("budget.weights_mib=10", "120.7 MiB of weights in fp16 > 10"),
        ("budget.weights_mib=10 budget.precision=int8", "60.3 MiB of weights in int8 > 10"),
        ("budget.peak_activations_mib=1", "MiB of activations in fp16 > 1"),
    ],
)
def test_so_is_any_other_bound(words: str, clause: str, tmp_path: Path) -> None:
    message = refused(tmp_path, *words.split())
    assert message.startswith(words.partition("=")[0] + ": nothing of this space fits")
    assert clause in message


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("words")
    (tmp_path / "file").write_text("words")
    assert "holds files that are not a run" in refused(tmp_path, "name=thesis")
    assert "cannot be written" in refused(tmp_path, "name=file")
    assert "cannot be written: Not a directory" in refused(tmp_path, f"runs_folder={tmp_path / 'file'}")
    assert "not a run folder" in refused(tmp_path, f"resume={tmp_path / 'thesis'}")


@pytest.mark.parametrize(
    ("record", "config", "said"),
    [
        ('{"event":"run"}\n', "a: [", "config.yaml: cannot be read as the settings of a run"),
        ("", "a: 1", "was interrupted before anything was recorded; start it again"),
        ('{"event":"run"}\n', "a: 1", "config.yaml: a: no such field"),
        ("5\n", "a: 1", "line 1 is not an event"),
        ('{"event":"session"}\n{"event":"proposed"}\n', "a: 1", "line 2 is not an event"),
    ],
)
def test_what_only_looks_like_a_run_is_not_gone_on_with(
    record: str, config: str, said: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / RECORD_NAME).write_text(record)
    (run / "config.yaml").write_text(config)
    assert said in refused(tmp_path, f"resume={run}")
    assert (run / RECORD_NAME).read_text() == record


def test_a_record_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).mkdir()  # as root no mode would keep us out
    with pytest.raises(InputError, match=r"record\.jsonl: cannot be written: Is a directory"):
        search.run.Record(tmp_path)


@pytest.mark.parametrize("words", ["rungs=[5] trials=1", "data=digits", "confirmation=none stopping=none"])
def test_odd_but_legal_settings_start(words: str, tmp_path: Path) -> None:
    with pytest.raises(Started):
        main([*words.split(), "name=odd", f"runs_folder={tmp_path}"])
    assert "holds a run already" in refused(tmp_path, "name=odd")
    assert "one run at a time" in refused(tmp_path, "-m", f"resume={tmp_path / 'odd'}")


def test_of_several_searches_all_are_checked_before_the_first_starts(tmp_path: Path) -> None:
    message = refused(tmp_path, "-m", "budget.gmacs=150,10")
    assert "37.2 GMACs > 10" in message


def test_a_dry_run_of_several_starts_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", "budget=md,md_lite", "dry_run=true", "data.scenes=64", f"runs_folder={tmp_path}"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "400 M parameters, 200 GMACs" in told and "280 M parameters, 156 GMACs" in told
    assert list(tmp_path.iterdir()) == []


def test_confirming_needs_a_run_with_trials(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run yet"):
        confirm.main([f"runs_folder={tmp_path}"])
    with pytest.raises(InputError, match="not a run folder"):
        confirm.main([f"run={tmp_path}"])
    with pytest.raises(InputError, match="not a run folder"):
        confirm.main([str(tmp_path)])
    with pytest.raises(InputError, match=r"run: a, b: allowed: one run at a time"):
        confirm.main(["run=a", "b"])
    with pytest.raises(Started):
        main(["data.scenes=64", "name=begun", f"runs_folder={tmp_path}"])
    with pytest.raises(InputError, match=r"no trial .*: mdsearch search resume="):
        confirm.main([f"runs_folder={tmp_path}"])


def test_a_run_goes_on_when_the_files_that_it_was_made_of_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "networks").mkdir()
    for name in ("networks/a.yaml", "reference.yaml", "mine.yaml"):
        (tmp_path / name).write_text((CONF / "arch" / "md_lite.yaml").read_text())
    space = "defaults: [md, _self_]\nlevels: {level_3: {channels: [768, 896]}}\n"
    (tmp_path / "phone.yaml").write_text(space)
    words = ["space=phone.yaml", "enqueue=[networks]", "confirmation.references=[reference.yaml]"]
    with pytest.raises(Started):
        main([*words, "name=a", "data.scenes=64", f"runs_folder={tmp_path}"])
    before, _ = settings_of([*words, "data.scenes=64"])
    for path in ("phone.yaml", "networks/a.yaml", "reference.yaml"):
        (tmp_path / path).unlink()
    (tmp_path / "networks").rmdir()
    with pytest.raises(Started):
        main([f"resume={tmp_path}/a"])
    settings, words = settings_of([f"resume={tmp_path}/a"])
    assert (settings.space, settings.enqueue) == (before.space, ("networks/a.yaml",))
    assert words[:1] == ["space=phone.yaml"]
    with pytest.raises(Started):
        main([f"resume={tmp_path}/a", "trials=9"])
    assert "space: no file 'phone.yaml'" in refused(tmp_path, f"resume={tmp_path}/a", "space=phone.yaml")
    assert "no file 'phone.yaml'" in refused(tmp_path, "space=phone.yaml", "name=b")
    with pytest.raises(InputError, match="has no trial to confirm"):
        confirm.main([f"{tmp_path}/a"])
