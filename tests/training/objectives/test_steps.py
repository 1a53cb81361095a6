"""Step distillation and latent consistency: trajectories, targets and losses by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from torch import Tensor

from space.shared.plain import InputError
from tests.training.examples import load, save
from tests.training.test_diffusion import make
from training.data.dataset import Dataset
from training.distillation import Distiller
from training.guidance import guidance_embedding
from training.model import Model, load_model
from training.objectives.lcm import LcmObjective, LcmSettings
from training.objectives.steps import StepsObjective, StepsSettings
from training.objectives.student import StudentSettings
from training.objectives.trajectories import grid, implied, paths, stepped
from training.settings import TrainingSettings


@pytest.fixture
def distiller(base_folder: Path, scenes: Dataset, settings: TrainingSettings) -> object:
    return partial(_distiller, base_folder, scenes, settings)


def _distiller(folder: Path, scenes: Dataset, settings: TrainingSettings, own: StudentSettings) -> Distiller:
    return Distiller(folder, scenes, settings, own, seed=1)


def test_a_teacher_goes_by_way_of_its_own_timesteps() -> None:
    halves = paths(make("v"), 8, 16)
    assert halves[0].tolist() == [999, 937, 874] and halves[-1].tolist() == [124, 61, -1]
    many = paths(make("v"), 16, 50)
    assert many[0].tolist() == [999, 979, 959, 939, 937] and many.shape == (16, 5)
    alike = paths(make("v"), 4, 4)
    assert alike.tolist() == [[999, 749], [749, 499], [499, 249], [249, -1]]
    assert grid(make("flow"), 4) == {999: 749, 749: 499, 499: 249, 249: -1}


@pytest.mark.parametrize("prediction", ["v", "flow"])
def test_steps_are_those_of_the_sampler(prediction: str) -> None:
    """A network that halves what it sees; two steps by hand end where sampling does."""
    diffusion, noise = make(prediction), torch.randn(2, 1, 3, 3)

    def denoise(latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        return latents / 2

    context, x = torch.zeros(2, 1, 1), noise
    for here, there in grid(diffusion, 2).items():
        at, reached = torch.full((2,), here), torch.full((2,), there)
        x = stepped(diffusion, diffusion.clean(x / 2, x, at), x, at, reached)
    made = diffusion.sample(denoise, noise, context, context[:1], steps=2, guidance=1)
    torch.testing.assert_close(x, made, rtol=1e-4, atol=1e-4)


def test_the_implied_prediction_leads_to_where_it_was_taken_from() -> None:
    diffusion = make("v")
    noisy, clean = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    here, there = torch.tensor([999, 600, 124]), torch.tensor([874, 475, -1])
    x = stepped(diffusion, clean, noisy, here, there)
    torch.testing.assert_close(implied(diffusion, noisy, here, x, there), clean, rtol=1e-3, atol=1e-3)
    assert torch.equal(stepped(diffusion, clean, noisy, here, here), noisy)


def constant(model: Model, clean: float, empty: float = 0.0) -> None:
    """Let a model predict `clean` for captions, and `empty` for the second half of a guided batch."""

    def forward(latents: Tensor, timesteps: Tensor, context: Tensor, guidance: object = None) -> Tensor:
        made = torch.full_like(latents, clean)
        if len(latents) > 8:
            made[len(latents) // 2 :] = empty
        return made

    model.forward = forward  # type: ignore[method-assign]


@pytest.mark.parametrize("is_guided", [False, True])
def test_the_loss_of_fewer_steps_by_hand(is_guided: bool, distiller: partial[Distiller]) -> None:
    """Teacher .5, student .25, without captions 0: with guidance 2, 1 (the bound) and .5. Of v that is the
    squared difference over s^2, and .2 of the squared difference from data comes on top."""
    objective = distiller(own=StepsSettings()).objective
    assert isinstance(objective, StepsObjective)
    constant(objective.teacher, 0.5)
    constant(objective.model, 0.25)
    batch = objective.batch(0)
    batch = batch._replace(guidance=torch.full((8,), 2.0), is_guided=torch.tensor(is_guided))
    assert set(batch.data.timesteps.tolist()) <= set(grid(objective.model.diffusion, 8))
    latents, _ = objective.read(batch.data)
    spread = objective.model.diffusion.levels(batch.data.timesteps)[1]
    difference = 0.5 if is_guided else 0.25
    expected = (difference / spread).square().mean() + 0.2 * ((0.25 - latents) / spread).square().mean()
    assert float(objective.loss("model", batch)) == pytest.approx(float(expected), rel=1e-3)


def test_scales_are_drawn_and_steps_are_chosen_by_seed_and_step(distiller: partial[Distiller]) -> None:
    one, again = (distiller(own=StepsSettings()).objective for _ in range(2))
    assert isinstance(one, StepsObjective) and isinstance(again, StepsObjective)
    batches = [one.batch(step) for step in range(200)]
    scales = torch.cat([batch.guidance for batch in batches])
    assert 2 <= scales.min() < 2.2 and 13.8 < scales.max() <= 14
    assert 10 <= sum(bool(batch.is_guided) for batch in batches) <= 32  # 20 +- 4.2
    assert torch.equal(again.batch(7, range(2, 5)).guidance, batches[7].guidance[2:5])


def test_consistency_by_hand(distiller: partial[Distiller]) -> None:
    """Student and target predict .25, and are x itself where a step ends clean: Huber's loss of the rest."""
    objective = distiller(own=LcmSettings(teacher_steps=2, sampling_steps=2)).objective
    assert isinstance(objective, LcmObjective)
    assert objective.steps.tolist() == [[999, 499], [499, -1]]
    constant(objective.teacher, 0.5)
    constant(objective.model, 0.25)
    batch = objective.batch(0)
    for timestep, difference in ((999, 0.0), (499, 0.25 - 1.0)):  # by guidance 3: 1.5, clipped as sampled
        data = batch.data._replace(timesteps=torch.full((8,), timestep))
        loss = objective.loss("model", batch._replace(data=data, guidance=torch.full((8,), 3.0)))
        assert float(loss) == pytest.approx(math.hypot(difference, 0.001) - 0.001, rel=1e-3, abs=1e-6)


def test_consistency_is_learnt_where_it_is_sampled(distiller: partial[Distiller]) -> None:
    """By steps of 20, and from 749 and 249 too, which four sampling steps ask for."""
    objective = distiller(own=LcmSettings()).objective
    assert isinstance(objective, LcmObjective)
    steps = dict(objective.steps.tolist())
    assert steps.keys() == {*range(19, 1000, 20), 749, 249}
    assert (steps[999], steps[749], steps[259], steps[19]) == (979, 729, 239, -1)
    drawn = {timestep for step in range(60) for timestep in objective.batch(step).data.timesteps.tolist()}
    assert {749, 249} <= drawn <= steps.keys()


def test_what_is_consistent_is_scaled_as_diffusers_do(distiller: partial[Distiller]) -> None:
    objective = distiller(own=LcmSettings()).objective
    assert isinstance(objective, LcmObjective)
    constant(objective.model, 0.25)
    x, scheduler = torch.randn(1, 12, 8, 8), LCMScheduler()
    for timestep in (0, 1, 19, 999):
        skip, out = scheduler.get_scalings_for_boundary_condition_discrete(timestep)
        made = objective.consistent(x, torch.tensor([timestep]), torch.zeros(1, 12, 16), torch.tensor([7.0]))
        torch.testing.assert_close(made, skip * x + out * 0.25)
    behind = objective.consistent(x, torch.tensor([-1]), torch.zeros(1, 12, 16), torch.tensor([7.0]))
    assert torch.equal(behind, x)


def test_guidance_is_embedded_as_pipelines_do() -> None:
    """A pipeline's scale of 7.5 stands as w = 6.5."""
    theirs = StableDiffusionPipeline.get_guidance_scale_embedding(
        None, torch.tensor([7.5 - 1, 1.0]), embedding_dim=16
    )
    torch.testing.assert_close(guidance_embedding(torch.tensor([7.5, 2.0]), 16), theirs)


def test_a_student_that_is_told_the_scale_begins_as_its_base(
    distiller: partial[Distiller], base_folder: Path, tmp_path: Path
) -> None:
    trainer = distiller(own=LcmSettings(embedding_width=8, guidance=7.0, cfg_range=(6.0, 8.0)))
    base, student = load_model(base_folder, "cpu"), trainer.objective.model
    assert student.architecture.guidance_width == 8
    latents, context, scale = torch.randn(2, 12, 8, 8), torch.randn(2, 12, 16), torch.tensor([6.0, 8.0])
    levels = torch.tensor([10, 999])
    with torch.no_grad():
        assert torch.equal(student(latents, levels, context, scale), base(latents, levels, context))
    trainer.train_to(3)
    trainer.save_weights(tmp_path)
    again = load_model(tmp_path, "cpu")
    assert (again.settings.guidance, again.settings.sampling_steps, again.settings.one_step) == (7.0, 4, True)
    low, high = (again.generate(["a circle"], seed=0, guidance=scale) for scale in (6.0, 8.0))
    assert (low != high).any()
    with torch.no_grad():
        noise, context = again.initial_noise(0, [0]), again.text_encoder.encode(["a circle"])
        clean = again(noise, torch.tensor([999]), context, torch.tensor([6.0])).clamp(-1, 1)
    made = again.generate(["a circle"], seed=0, guidance=6.0, steps=1)
    expected = ((again.codec.decode(clean) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    assert (torch.from_numpy(made) == expected).all()


@pytest.mark.parametrize(
    "own",
    [
        StepsSettings(cfg_probability=0.5, teacher_steps=12, sampling_steps=4),
        StepsSettings(w_conditioned=True, embedding_width=8, teacher_steps=4, sampling_steps=2),
        LcmSettings(embedding_width=8),
    ],
    ids=["steps", "told the scale", "lcm"],
)
def test_it_goes_on_with_the_same_bits(
    own: StudentSettings, distiller: partial[Distiller], tmp_path: Path
) -> None:
    whole, first, second = (distiller(own=own) for _ in range(3))
    whole.train_to(4)
    first.train_to(2)
    save(first, tmp_path)
    load(second, tmp_path)
    second.train_to(4)
    ours, theirs = second.state(), whole.state()
    assert ours.plain == theirs.plain and ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        (StepsSettings(), "teacher_steps", 7),
        (StepsSettings(), "cfg_range", (3.0, 2.0)),
        (StepsSettings(), "cfg_probability", 1.5),
        (StepsSettings(), "original_weight", -1.0),
        (LcmSettings(), "guidance", 5.0),
        (LcmSettings(), "huber", 0.0),
        (LcmSettings(), "finetune", "lora"),
        (LcmSettings(), "embedding_width", 2),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: StudentSettings, field: str, value: object
) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        replace(settings, **{field: value})  # type: ignore[arg-type]


def test_more_steps_than_the_schedule_has_are_refused(distiller: partial[Distiller]) -> None:
    with pytest.raises(InputError, match=r"objective\.teacher_steps: 1001 .* at most 1000"):
        distiller(own=StepsSettings(teacher_steps=1001))
