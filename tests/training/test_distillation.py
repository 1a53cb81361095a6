"""A training that begins with a trained model: bits, adapters, what is refused, and the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from mdsearch.commands import distill, generate, train
from mdsearch.distill_command import distill_command_of, notes_of
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import Makes, changed_json, load, save, ufogen
from training.adapters import LoraSettings, has_lora, merged
from training.data.dataset import Dataset
from training.distillation import Distiller
from training.interchange.pipelines import is_one_step
from training.model import load_model
from training.objectives.ufogen import UfogenSettings
from training.settings import TrainingSettings
from training.trainer import Trainer

KINDS = [
    {"reconstruction": "diffusion", "finetune": "full"},
    {"reconstruction": "ema", "finetune": "lora", "lora": LoraSettings(rank=2)},
]


@pytest.mark.parametrize("own", KINDS, ids=["full", "lora with a running mean"])
def test_it_goes_on_with_the_same_bits(own: dict[str, object], make_distiller: Makes, tmp_path: Path) -> None:
    whole, first, second = make_distiller(**own), make_distiller(**own), make_distiller(**own)
    whole.train_to(5)
    first.train_to(3)
    save(first, tmp_path)
    load(second, tmp_path)
    second.train_to(5)
    ours, theirs = second.state(), whole.state()
    assert ours.plain == theirs.plain and ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)
    assert {
        f"parts/discriminator/weights/{name}" for name in ("told_apart", "followed")
    } <= ours.tensors.keys()


def test_lora_leaves_the_base_as_it_is_and_is_saved_merged(
    make_distiller: Makes, base_folder: Path, tmp_path: Path
) -> None:
    distiller, before = (
        make_distiller(finetune="lora", lora=LoraSettings(rank=2)),
        load_model(base_folder, "cpu"),
    )
    own, latents, context = ufogen(distiller).model, torch.randn(2, 12, 8, 8), torch.randn(2, 12, 16)
    levels = torch.tensor([10, 999])
    with torch.no_grad():
        assert torch.equal(own(latents, levels, context), before(latents, levels, context))
    distiller.train_to(3)
    layers = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in own.unet.state_dict().items()
        if ".lora_" not in name
    }
    assert layers.keys() == before.unet.state_dict().keys()
    assert all(torch.equal(layers[name], tensor) for name, tensor in before.unet.state_dict().items())
    distiller.save_weights(tmp_path)
    again = load_model(tmp_path, "cpu")
    assert has_lora(distiller.averaged) and not has_lora(again) and again.settings.one_step
    with torch.no_grad():
        ours = distiller.averaged(latents, levels, context)
        torch.testing.assert_close(again(latents, levels, context), ours, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(ours, before(latents, levels, context), atol=1e-5)
    assert merged(again) is again
    assert [file.name for file in (tmp_path / "lora").iterdir()] == ["pytorch_lora_weights.safetensors"]
    assert distiller.parameters == sum(p.numel() for p in before.unet.parameters())


def test_bases_that_are_none_are_refused(
    make_distiller: Makes, base_folder: Path, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    make_distiller().save_weights(tmp_path / "done")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    for folder, message in (
        ("done", "generates in one step already"),
        ("pipeline", "mdsearch convert model="),
        ("none", "^init_from: .* holds no trained model"),
    ):
        with pytest.raises(InputError, match=message):
            Distiller(tmp_path / folder, scenes, settings, UfogenSettings(), seed=0)
    with pytest.raises(InputError, match=r"objective\.gap: 1001 .* at most 1000"):
        make_distiller(gap=1001)
    with pytest.raises(InputError, match="another objective"):
        trainer = Trainer(load_model(base_folder, "cpu").architecture, scenes, settings, seed=1)
        make_distiller().restore(trainer.state())


@pytest.fixture(scope="module")
def trained(tiny: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mdsearch train` leaves after two steps."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(tiny.to_yaml())
    words = ["proxy=full", "data.image_size_px=16", "data.scenes=96", "training.steps=2", *SMALL]
    words += ["training.warmup_steps=2", "training.sampling_steps=2", "training.latents.coordinates=false"]
    assert train.main([f"arch_file={folder / 'tiny.yaml'}", f"out={folder / 'base'}", *words]) == 0
    return folder / "base"


SMALL = ["training.batch_size=4", "training.validation_images=8", "training.device=cpu", "images=2"]


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def dies(*_: object) -> None:
    raise ZeroDivisionError


def test_the_command_leaves_a_folder_that_generates_in_one_step(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = [f"init_from={trained}", f"out={out}", "training.steps=3", "state_every_steps=2", *SMALL]
    assert distill.main(words) == 0
    steps = [line for line in curve(out) if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3]
    of_discriminator = {"discriminator", "told_apart"}
    assert {"adversarial", "reconstruction"} | of_discriminator <= steps[0].keys()
    assert not of_discriminator & steps[1].keys()  # it learns in every second step
    assert [line["step"] for line in curve(out) if "validation_loss" in line] == [2, 3]
    model = load_model(out, "cpu")
    assert (model.settings.sampling_steps, model.settings.guidance, model.settings.one_step) == (1, 1.0, True)
    assert (out / "architecture.yaml").read_bytes() == (trained / "architecture.yaml").read_bytes()
    card = (out / "README.md").read_text()
    assert "base, distilled by ufogen: 3 steps" in card
    assert "72 images of scenes" in card  # those of the base, by its own settings
    assert is_one_step(out / "pipeline")
    assert generate.main([f"model={out}", "prompt=a large red circle", f"out={tmp_path / 'one.png'}"]) == 0
    assert f"mdsearch generate model={out}" in capsys.readouterr().out

    with monkeypatch.context() as patched:  # killed with weights of step 4 on the disk, and the state of 3
        patched.setattr(Distiller, "save_images", dies)
        with pytest.raises(ZeroDivisionError):
            distill.main([f"resume={out}", "training.steps=5"])

    assert distill.main([f"resume={out}", "training.steps=5"]) == 0
    whole = [word.replace("steps=3", "steps=5").replace(str(out), str(tmp_path / "whole")) for word in words]
    assert distill.main(whole) == 0
    for name in ("unet.safetensors", "text.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = ([line for line in curve(path) if "loss" in line] for path in (out, tmp_path / "whole"))
    assert next(lines) == next(lines)
    assert (out / "text.safetensors").read_bytes() == (trained / "text.safetensors").read_bytes()


def test_a_discriminator_that_collapses_is_said_and_training_stops_there(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"init_from={trained}", "training.steps=40", "objective=ufogen_small", *SMALL]
    words.append("objective.collapse=0.501")
    assert distill.main([*words, f"out={tmp_path / 'young'}", "state_every_steps=40"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("Anew: another out=")  # there is no state yet
    assert distill.main([*words, f"out={tmp_path / 'out'}", "state_every_steps=1"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "(objective.collapse: 0.501)" in last and "training.learning_rate may help" not in last
    assert last.endswith(f"with what is changed: mdsearch distill resume={tmp_path / 'out'} ...")
    steps = [line["step"] for line in curve(tmp_path / "out") if "loss" in line]
    assert steps == sorted(set(steps)) and steps[-1] < 40  # none was taken again


def test_a_sweep_names_its_cells_and_goes_on(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ["training.learning_rate=2e-5", "objective.lora_learning_rate=3e-4"]
    words = [f"init_from={trained}", f"out={tmp_path}", "training.steps=1", *SMALL, *rates]
    sweep = ["-m", *words, "objective.reconstruction=distill,none", "objective.finetune=full,lora"]
    assert distill.main(sweep) == 0
    cells = ["distill-full", "distill-lora", "none-full", "none-lora"]
    assert sorted(path.name for path in tmp_path.iterdir()) == cells
    assert [(tmp_path / cell / "lora").is_dir() for cell in cells] == [False, True, False, True]
    learnt = [yaml.safe_load((tmp_path / cell / "config.yaml").read_text())["training"] for cell in cells]
    assert [each["learning_rate"] for each in learnt] == [2e-5, 3e-4, 2e-5, 3e-4]
    table = capsys.readouterr().out.rpartition("validation_loss")[2]
    assert all(cell in table for cell in cells) and "scores=true compares them by FID" in table
    before = {cell: (tmp_path / cell / "unet.safetensors").stat().st_mtime_ns for cell in cells}
    assert distill.main(sweep) == 0
    assert {cell: (tmp_path / cell / "unet.safetensors").stat().st_mtime_ns for cell in cells} == before
    config = tmp_path / "none-full" / "config.yaml"
    kept = config.read_bytes()
    other = [*words[:1], f"out={tmp_path / 'none-full'}", *words[2:], "objective.reconstruction=ema"]
    with pytest.raises(InputError, match=r"objective\.reconstruction: ema, but .* with none; .*resume="):
        distill.main(other)
    assert config.read_bytes() == kept


@pytest.mark.parametrize("objective", ["steps", "lcm"])
def test_fewer_steps_by_the_same_command(
    objective: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"init_from={trained}", f"objective={objective}", "objective.sampling_steps=3", *SMALL]
    assert distill.main([*words, f"out={tmp_path}", "objective.teacher_steps=6", "training.steps=1"]) == 0
    told = load_model(tmp_path, "cpu").settings
    expected = {"steps": (3, 1.0, "ddim"), "lcm": (3, 6.0, "onestep")}[objective]
    assert (told.sampling_steps, told.guidance, told.sampler) == expected
    assert "was trained without caption_dropout" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"objective\.name: ufogen, but .* holds a training with"):
        distill.main([f"init_from={trained}", f"out={tmp_path}", *SMALL])


def test_shares_of_two_networks_are_refused_before_anything_is_made(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parallel: fsdp, where ufogen trains two networks; allowed: ddp"):
        distill.main([f"init_from={trained}", f"out={tmp_path / 'out'}", "workers=2", "parallel=fsdp"])
    assert not (tmp_path / "out").exists()


def test_words_without_effect_are_refused(trained: Path, tmp_path: Path) -> None:
    for word, message in (
        ("training.guidance=3", "training.guidance: has no effect here, where objective decides"),
        ("training.diffusion.prediction=v", "where init_from decides"),
        ("objective.zero_terminal_sno=true", "zero_terminal_snr"),
        ("objective.gap=1001", r"objective\.gap: 1001 .* at most 1000"),
    ):
        with pytest.raises(InputError, match=message):
            distill.main([f"init_from={trained}", f"out={tmp_path / 'out'}", word])
    with pytest.raises(InputError, match=r"resume: .* is no folder of a distillation"):
        distill.main([f"resume={trained}"])
    with pytest.raises(InputError, match="ema_lengths: none are kept"):
        distill.main([f"init_from={trained}", "objective.finetune=lora", "training.ema_lengths=[0.05,0.1]"])
    (trained / "config.yaml").rename(trained / "away.yaml")
    with pytest.raises(InputError, match="does not say what it was trained on"):
        distill.main([f"init_from={trained}", f"out={tmp_path / 'out'}"])
    (trained / "away.yaml").rename(trained / "config.yaml")
    assert not (tmp_path / "out").exists()


def test_interrupted_between_the_updates_of_a_step_it_ends_with_the_same_bits(
    make_distiller: Makes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a kill: the generator has learnt, the discriminator has not, and the state is of before."""
    whole, killed, again = (make_distiller(discriminator_every=1) for _ in range(3))
    whole.train_to(2)
    killed.train_to(1)
    save(killed, tmp_path)
    loss = killed.objective.loss
    monkeypatch.setattr(
        killed.objective, "loss", lambda part, batch: dies() if part != "model" else loss(part, batch)
    )
    with pytest.raises(ZeroDivisionError):
        killed.train_to(2)
    load(again, tmp_path)
    again.train_to(2)
    ours, theirs = again.state(), whole.state()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in theirs.tensors)


def test_progressive_by_the_command(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight steps, four, two: each the teacher of the next one."""
    told = ["objective=steps", "objective.w_conditioned=true", "objective.embedding_width=8"]
    words = [*told, "training.steps=1", *SMALL]
    four, two = tmp_path / "four", tmp_path / "two"
    first = [f"init_from={trained}", f"out={four}", "objective.teacher_steps=8", "objective.sampling_steps=4"]
    assert distill.main([*words, *first]) == 0
    halves = ["objective.teacher_steps=4", "objective.sampling_steps=2"]
    capsys.readouterr()
    assert distill.main([*words, *halves, f"init_from={four}", f"out={two}"]) == 0
    assert "has learnt to generate" not in capsys.readouterr().out
    settings = load_model(two, "cpu").settings
    assert (settings.sampling_steps, settings.guidance, settings.sampler) == (2, 2.0, "ddim")
    assert (two / "pipeline" / "model_index.json").is_file()
    assert generate.main([f"model={two}", "prompt=a red circle", f"out={tmp_path / 'two.png'}"]) == 0


def test_what_is_asked_in_vain_is_said(trained: Path, tmp_path: Path) -> None:
    def notes(*words: str) -> str:
        return "\n".join(notes_of(*distill_command_of([f"init_from={trained}", *words])))

    for name, value in (("lora.rank", "2"), ("lora_learning_rate", "3e-4")):
        in_vain = f"note: objective.{name} has no effect beside objective.finetune=full"
        assert notes(f"objective.{name}={value}") == in_vain
        assert notes(f"objective.{name}={value}", "objective.finetune=lora") == ""
    without = notes("objective.reconstruction=none", "objective.gamma=one")
    assert "gamma has no effect beside objective.reconstruction=none" in without
    shutil.copytree(trained, tmp_path / "few")
    config = tmp_path / "few" / "config.yaml"
    plain = yaml.safe_load(config.read_text())
    plain["objective"] = {"name": "steps", "sampling_steps": 16}
    plain["training"] |= {"caption_dropout": 0.1}
    config.write_text(yaml.safe_dump(plain))
    own = json.loads((trained / "model.json").read_text())["settings"]
    changed_json(tmp_path / "few" / "model.json", settings=own | {"guidance": 3.0})
    found = notes("objective=steps", "objective.teacher_steps=50", f"objective.teacher={tmp_path / 'few'}")
    assert "few has learnt to generate in 16 steps; objective.teacher_steps is 50" in found
    lost = notes_of(*distill_command_of([f"init_from={tmp_path / 'few'}", "objective=steps"]))
    assert len(lost) == 1
    assert "training.caption_dropout is 0" in lost[0] and "guidance 3" in lost[0]
