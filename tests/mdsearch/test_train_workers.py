"""`mdsearch train` by several workers, as a person starts it: killed, interrupted, and under torchrun."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mdsearch import by_workers
from mdsearch.commands import distill, train, train_adapter, train_autoencoder
from mdsearch.train_command import TrainCommand, command_of
from space.shared.plain import InputError
from tests.search.killing import PATIENT, finish, told, wait_for
from tests.training.examples import TINY
from tests.traps import COMMAND, folder_with_traps, of_a_user
from training.checkpoints import Checkpoints

STEPS = 24


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    file.write_text(TINY.to_yaml())
    return [
        f"arch_file={file}",
        "proxy=full",
        "data.image_size_px=16",
        "data.scenes=96",
        f"training.steps={STEPS}",
        "training.batch_size=7",
        "training.sampling_steps=2",
        "training.latents.coordinates=false",
        "training.validation_images=8",
        "training.device=cpu",
        "state_every_steps=4",
        "images=2",
    ]


@pytest.fixture(scope="module")
def alone(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    folder = tmp_path_factory.mktemp("alone")
    assert train.main([*words, f"out={folder}"]) == 0
    return losses(folder)


def started(
    folder: Path, *words: str, by: tuple[str, ...] = (), verb: tuple[str, ...] = ("train",)
) -> subprocess.Popen[str]:
    log = open(folder / "log.txt", "a")  # noqa: SIM115 (the child's, closed with it)
    return subprocess.Popen(
        [*by, COMMAND, *verb, *words],
        stdout=log,
        stderr=log,
        text=True,
        cwd=folder_with_traps(folder / ".here"),
        env=of_a_user(OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Forked of a server, which is a child of the command."""
    return [each for child in psutil.Process(process.pid).children() for each in child.children()]


@pytest.fixture(scope="module")
def base(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    assert train.main([*words, "training.caption_dropout=0.1", f"out={folder}"]) == 0
    return folder


def has_state(folder: Path, step: int) -> Callable[[], bool]:
    return lambda: any(int(path.stem) >= step for path in folder.glob("states/*.json"))


def losses(folder: Path) -> dict[str, float]:
    """Of each step, and on what is held out, at the last state."""
    lines = list(map(json.loads, (folder / "curve.jsonl").read_text().splitlines()))
    found = {str(line["step"]): line["loss"] for line in lines if "loss" in line}
    return found | {"validation": lines[-1]["validation_loss"]}


def test_environment_and_setting_must_agree(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command, _ = command_of([*words, "workers=4"])
    monkeypatch.setattr(by_workers, "given_workers", lambda: 2)
    with pytest.raises(InputError, match="workers: 4, where the environment has WORLD_SIZE=2; allowed: 2"):
        by_workers.train_by_workers(train.train, command, words, command.training)


def test_what_is_gone_on_with_takes_the_workers_that_are_there(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, _ = command_of([*words, "workers=4"])
    began: list[object] = []
    monkeypatch.setattr(by_workers, "given_workers", lambda: 2)
    monkeypatch.setattr(by_workers, "be_one_of_many", began.append)
    resumed = replace(command, resume="trained/md")
    by_workers.train_by_workers(train.train, resumed, words, command.training)
    assert (
        len(began) == 1 and "workers: 2, as the environment has it, in place of 4" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("workers=0", "workers: 0"),
        ("min_workers=3 workers=2", "min_workers: 3; allowed: 1 to 2"),
        ("restarts=-1", "restarts: -1"),
        ("parallel=dp", "ddp, fsdp"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], word: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        command_of([*words, *word.split()])


def test_one_process_is_the_default() -> None:
    assert (TrainCommand(arch=TINY).workers, TrainCommand(arch=TINY).parallel) == (1, "ddp")


@PATIENT
@pytest.mark.slow  # four processes begin twice
def test_one_of_three_workers_is_killed(words: list[str], alone: dict[str, float], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = started(
        tmp_path, *words, f"out={out}", "workers=3", "parallel=fsdp", "min_workers=2", "restarts=1"
    )
    wait_for(has_state(out, 8), process, tmp_path)
    workers_of(process)[1].send_signal(signal.SIGKILL)
    finish(process, tmp_path)
    said = told(tmp_path)
    assert said.count("was lost (SIGKILL): 2 begin again from the last state") == 1
    assert "by 2 workers (fsdp)\n" in said and f"trained: {out}" in said
    assert losses(out) == pytest.approx(alone, rel=2e-3)


@PATIENT
@pytest.mark.slow  # as above
def test_ctrl_c_stops_all_and_torchrun_goes_on(
    words: list[str], alone: dict[str, float], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = started(tmp_path, *words, f"out={out}", "workers=2")
    wait_for(has_state(out, 4), process, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(600) == 130 and "stopped at step" in told(tmp_path)
    state = Checkpoints(out).latest()
    assert state is not None and 4 <= state.step < STEPS
    torchrun = (sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3")
    finish(started(tmp_path, f"resume={out}", "workers=3", by=(*torchrun, "--no-python")), tmp_path)
    assert told(tmp_path).count("by 3 workers (ddp)\n") == 1
    assert losses(out) == pytest.approx(alone, rel=2e-3)


@PATIENT
@pytest.mark.slow  # as above
def test_what_ends_all_processes_of_a_group_stops_the_training(words: list[str], tmp_path: Path) -> None:
    """As timeout, systemd and schedulers do: workers' fork server is told, too."""
    out = tmp_path / "out"
    process = started(tmp_path, *words, f"out={out}", "workers=2")
    wait_for(has_state(out, 4), process, tmp_path)
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.send_signal(signal.SIGTERM)
    assert process.wait(600) == 130
    said = told(tmp_path)
    assert "stopped at step" in said and "was lost" not in said
    assert Checkpoints(out).latest() is not None


OTHERS = {
    "distill": (distill.main, ["objective=ufogen_small"]),
    "train adapter": (train_adapter.main, ["adapter=controlnet"]),
    "train autoencoder": (train_autoencoder.main, ["data.scenes=720", "data.image_size_px=16"]),
}


@PATIENT
@pytest.mark.slow  # as above
@pytest.mark.parametrize("verb", OTHERS)
def test_whatever_is_trained_is_shared_and_gone_on_with(
    verb: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main, own = OTHERS[verb]
    group = "reconstruction" if "autoencoder" in verb else "training"
    settings = {"steps": STEPS, "batch_size": 7, "validation_images": 8, "device": "cpu"}
    own = [*own, *(f"{group}.{name}={value}" for name, value in settings.items())]
    own += ["state_every_steps=4", "images=2"]
    if group == "training":
        own.append(f"init_from={base}")
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*own, f"out={one}"]) == 0
    process = started(tmp_path, *own, f"out={two}", "workers=2", verb=tuple(verb.split()))
    wait_for(has_state(two, 4), process, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(600) == 130 and "stopped at step" in told(tmp_path)
    finish(started(tmp_path, f"resume={two}", verb=tuple(verb.split())), tmp_path)
    said = told(tmp_path)
    assert said.count("by 2 workers (ddp)") == 2 and "find_unused_parameters" not in said
    assert losses(two) == pytest.approx(losses(one), rel=2e-3)


def test_a_sweep_is_nobodys_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "given_workers", lambda: 2)
    with pytest.raises(InputError, match=r"-m: one distillation after another, .* WORLD_SIZE=2"):
        distill.main(["-m", "init_from=trained/md", "objective.finetune=full,lora"])
