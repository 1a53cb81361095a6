"""Who teaches a distillation: the base or another model, and what each has to have in common with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import changed_weights, ufogen
from training.data.dataset import Dataset
from training.diffusion import ddim_scheduler
from training.distillation import Distiller
from training.initial import begin_with
from training.latents import LatentSettings
from training.model import load_model
from training.objectives.lcm import LcmSettings
from training.objectives.steps import StepsObjective, StepsSettings
from training.objectives.student import StudentSettings
from training.objectives.trajectories import stepped
from training.objectives.ufogen import UfogenSettings
from training.settings import TrainingSettings
from training.text import TextSettings
from training.trainer import Trainer

TOLD = StepsSettings(w_conditioned=True, embedding_width=8, sampling_steps=4, teacher_steps=8)
HALF = StepsSettings(sampling_steps=2, teacher_steps=4)
Makes = Callable[[Path, StudentSettings], Distiller]


@pytest.fixture(scope="module")
def made(scenes: Dataset, settings: TrainingSettings) -> Makes:
    return partial(_made, scenes, settings)


def _made(data: Dataset, settings: TrainingSettings, base: Path, own: StudentSettings) -> Distiller:
    return Distiller(base, data, settings, own, seed=1)


@pytest.fixture(scope="module")
def told(base_folder: Path, made: Makes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student in four steps that is told the scale, from a base that was trained without any guidance."""
    folder = tmp_path_factory.mktemp("told")
    distiller = made(base_folder, TOLD)
    distiller.train_to(2)
    distiller.save_weights(folder)
    return folder


def test_a_student_generates_by_a_scale_that_it_was_told(told: Path, base_folder: Path) -> None:
    assert load_model(base_folder, "cpu").settings.guidance == 1.0
    assert load_model(told, "cpu").settings.guidance == 2.0  # of 2 to 14
    assert TOLD.sampled(replace(load_model(told, "cpu").settings, guidance=7.5)).guidance == 7.5


@pytest.mark.parametrize(
    "own",
    [UfogenSettings(), HALF, LcmSettings(w_conditioned=False), LcmSettings(embedding_width=16)],
    ids=["ufogen", "steps", "lcm", "another width"],
)
def test_a_base_that_is_told_a_scale_goes_on_to_be_told(
    own: StudentSettings, told: Path, made: Makes
) -> None:
    with pytest.raises(InputError, match=r"init_from: .*guidance_width: 8.*embedding_width=8"):
        made(told, own)


def test_no_other_training_begins_with_one_that_is_told_a_scale(
    told: Path, tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    with pytest.raises(InputError, match=r"init_from: .*guidance_width: 8"):
        begin_with(Trainer(tiny, scenes, settings, seed=0), told)


@pytest.mark.parametrize("is_told", [False, True])
def test_where_the_steps_of_a_teacher_lead_by_diffusers(
    is_told: bool, told: Path, base_folder: Path, made: Makes
) -> None:
    """From 999 by way of 749 to 499, with guidance 3: DDIM's own steps, and the one that is learnt."""
    own = replace(TOLD if is_told else HALF, sampling_steps=2, teacher_steps=4)
    objective = made(told if is_told else base_folder, own).objective
    assert isinstance(objective, StepsObjective)
    teacher, diffusion = objective.teacher, objective.model.diffusion
    assert bool(teacher.architecture.guidance_width) == is_told
    x = noisy = torch.randn(3, 12, 8, 8, generator=torch.Generator().manual_seed(0))
    scale, captions = torch.full((3,), 3.0), ["a circle", "a red square", ""]
    with torch.no_grad():
        context, empty = (teacher.text_encoder.encode(each) for each in (captions, [""] * 3))
        scheduler = ddim_scheduler(teacher.settings.diffusion, teacher.codec.bound)
        scheduler.set_timesteps(4)
        for timestep in (999, 749):
            at = torch.full((3,), timestep)
            prediction = teacher(x, at, context, scale)
            if not is_told:
                without = teacher(x, at, empty)
                prediction = without + 3.0 * (prediction - without)
            x = scheduler.step(prediction, timestep, x, use_clipped_model_output=True).prev_sample
        here, there = (torch.full((3,), timestep) for timestep in (999, 499))
        target = objective.taught(noisy, here, context, scale)
        reached = stepped(diffusion, target, noisy, here, there)
    torch.testing.assert_close(reached, x, rtol=1e-4, atol=1e-4)


def test_another_model_teaches_in_place_of_the_base(
    told: Path, base_folder: Path, made: Makes, tmp_path: Path
) -> None:
    """SnapFusion's direct way: a student of eight steps begins as the base, taught by one of sixteen."""
    fewer = made(base_folder, replace(HALF, sampling_steps=4, teacher_steps=8))
    fewer.train_to(2)
    fewer.save_weights(tmp_path)
    base, teacher = load_model(base_folder, "cpu"), load_model(tmp_path, "cpu")
    for own in (
        replace(HALF, teacher=str(tmp_path)),
        UfogenSettings(reconstruction="distill", teacher=str(tmp_path)),
    ):
        distiller = made(base_folder, own)
        student, taught_by = distiller.objective.model, distiller.objective.teacher  # type: ignore[attr-defined]
        assert torch.equal(student.unet.conv_in.weight, base.unet.conv_in.weight)
        assert torch.equal(taught_by.unet.conv_in.weight, teacher.unet.conv_in.weight)
        assert not torch.equal(student.unet.conv_in.weight, taught_by.unet.conv_in.weight)
        assert distiller.identity["teacher"] != distiller.identity["base"]
    assert "teacher" not in made(base_folder, HALF).identity
    assert made(base_folder, replace(TOLD, teacher=str(told))).objective.teacher.architecture.guidance_width  # type: ignore[attr-defined]


def test_teachers_that_cannot_teach_this_base_are_refused(
    told: Path,
    base_folder: Path,
    made: Makes,
    tiny: Architecture,
    scenes: Dataset,
    settings: TrainingSettings,
    tmp_path: Path,
) -> None:
    folded = replace(settings, latents=LatentSettings(factor=4))
    wide = replace(tiny, latent_channels=48, latent_size=4)
    Trainer(wide, scenes, folded, seed=0).save_weights(tmp_path / "latents")
    Trainer(tiny, scenes, settings, seed=5).save_weights(tmp_path / "words")
    v = replace(settings, diffusion=replace(settings.diffusion, prediction="v"))
    Trainer(tiny, scenes, v, seed=0).save_weights(tmp_path / "v")
    made(base_folder, UfogenSettings()).save_weights(tmp_path / "one")
    for folder, found in (
        (tmp_path / "latents", r"has other latents than init_from: factor 4 \(here 2\)"),
        (tmp_path / "words", "text encoder that it was trained with"),
        (tmp_path / "v", r"other diffusion than init_from: prediction v \(here x0\)"),
        (tmp_path / "one", "generates in one step already"),
        (tmp_path / "none", "holds no trained model"),
        (told, "is told a guidance scale"),
    ):
        with pytest.raises(InputError, match=rf"^objective\.teacher: .*{found}"):
            made(base_folder, replace(HALF, teacher=str(folder)))
    made(base_folder, UfogenSettings(teacher=str(tmp_path / "words")))  # which it only says has no effect


def test_frozen_parts_count_by_what_lies_in_their_folders(
    tiny: Architecture,
    scenes: Dataset,
    settings: TrainingSettings,
    vae_folder: Path,
    clip_folder: Path,
    made: Makes,
    tmp_path: Path,
) -> None:
    frozen = replace(
        settings,
        latents=LatentSettings(codec="vae", folder=str(vae_folder)),
        text=TextSettings(encoder="clip", folder=str(clip_folder)),
    )
    network = replace(tiny, latent_channels=4, context_length=10)
    trainer = Trainer(network, scenes, frozen, seed=0)
    trainer.save_weights(tmp_path / "base")
    begin_with(trainer, tmp_path / "base")
    made(tmp_path / "base", HALF).train_to(1)

    shutil.copytree(vae_folder, tmp_path / "moved")
    shutil.copytree(tmp_path / "base", tmp_path / "teacher")
    description = tmp_path / "teacher" / "model.json"
    plain = json.loads(description.read_text())
    plain["settings"]["latents"]["folder"] = str(tmp_path / "moved")
    description.write_text(json.dumps(plain))
    own = replace(HALF, teacher=str(tmp_path / "teacher"))
    made(tmp_path / "base", own)
    begin_with(trainer, tmp_path / "teacher")
    changed_weights(
        tmp_path / "moved" / "diffusion_pytorch_model.safetensors",
        lambda tensors: {name: 2 * tensor for name, tensor in tensors.items()},
    )
    with pytest.raises(InputError, match=r"latents\.folder: not as .* was trained on it"):
        made(tmp_path / "base", own)
    moved = replace(frozen.latents, folder=str(tmp_path / "moved"))
    Trainer(network, scenes, replace(frozen, latents=moved), seed=0).save_weights(tmp_path / "other")
    with pytest.raises(InputError, match=r"objective\.teacher: .* has other latents than init_from"):
        made(tmp_path / "base", replace(HALF, teacher=str(tmp_path / "other")))
    with pytest.raises(InputError, match=r"was trained on other latents"):
        begin_with(trainer, tmp_path / "other")


def test_only_the_term_distill_has_a_teacher(base_folder: Path, made: Makes) -> None:
    for reconstruction, is_taught in (("distill", True), ("diffusion", False)):
        objective = ufogen(made(base_folder, UfogenSettings(reconstruction=reconstruction)))  # type: ignore[arg-type]
        assert (objective.teacher is not None) == is_taught


def test_distilling_is_a_running_mean_that_stays(made: Makes, base_folder: Path) -> None:
    """Section 4.2: equation 2 is equation 3 with a decay of 1."""
    distilled = made(base_folder, UfogenSettings(reconstruction="distill"))
    followed = made(base_folder, UfogenSettings(reconstruction="ema", reconstruction_ema_decay=1.0))
    before = distilled.objective.model.unet.conv_in.weight.detach().clone()
    for distiller in (distilled, followed):
        distiller.train_to(3)
    mine, other = (dict(each.objective.model.unet.named_parameters()) for each in (distilled, followed))
    assert not torch.equal(mine["conv_in.weight"], before)
    assert all(torch.equal(weight, other[name]) for name, weight in mine.items())
