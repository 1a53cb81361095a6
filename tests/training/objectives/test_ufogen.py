"""UFOGen's losses by hand, who learns from whom, and that a training goes on exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from space.shared.plain import InputError
from tests.training.examples import Makes, ufogen
from training.data.dataset import Dataset
from training.distillation import Distiller
from training.model import Model, load_model
from training.objectives.ufogen import UfogenBatch, UfogenObjective, UfogenSettings
from training.settings import TrainingSettings

LEVELS = DDIMScheduler(
    beta_start=1e-4, beta_end=0.02, beta_schedule="linear", rescale_betas_zero_snr=True
).alphas_cumprod.double()


class Spy:
    """In place of a discriminator's forward: what it was given, and one logit for all."""

    def __init__(self, logit: float = 0.0) -> None:
        self.logit, self.given = logit, list[tuple[Tensor, Tensor]]()

    def __call__(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        self.given.append((latents, timesteps))
        return self.logit + 0 * latents.flatten(1).sum(1)


def at_levels(objective: UfogenObjective, *levels: int) -> UfogenBatch:
    """A batch whose timesteps are these, in turn."""
    batch = objective.batch(0)
    many = torch.tensor(levels).repeat(-(-len(batch.data.timesteps) // len(levels)))
    return batch._replace(data=batch.data._replace(timesteps=many[: len(batch.data.timesteps)]))


def column(numbers: Tensor) -> Tensor:
    return numbers.float().view(-1, 1, 1, 1)


@pytest.mark.parametrize("condition", ["t", "t_minus"])
def test_the_discriminator_sees_the_forward_process_of_what_is_predicted(
    condition: str, make_distiller: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of levels 999 and 249 with a gap of 250: 749, and clean latents."""
    objective, spy = ufogen(make_distiller(condition=condition)), Spy()
    monkeypatch.setattr(objective.discriminator, "forward", spy)
    batch = at_levels(objective, 999, 249)
    objective.loss("discriminator", batch)
    (real, told), (fake, _) = spy.given
    assert told.tolist()[:2] == ([999, 249] if condition == "t" else [749, 0])
    share = column(torch.stack([LEVELS[749], torch.tensor(1.0)]).repeat(len(told) // 2))
    clean = objective.model.codec.encode(batch.data.images)
    torch.testing.assert_close(real, share.sqrt() * clean + (1 - share).sqrt() * batch.real_noise)
    with torch.no_grad():
        noisy = objective.model.diffusion.add_noise(clean, batch.data.noise, batch.data.timesteps)
        context = objective.model.text_encoder(batch.data.tokens)
        predicted = objective.model(noisy, batch.data.timesteps, context)
    left = (fake[::2] - LEVELS[749].sqrt().float() * predicted[::2]) / (1 - LEVELS[749]).sqrt().float()
    torch.testing.assert_close(left, batch.fake_noise[::2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fake[1::2], predicted[1::2])
    for noise in (batch.fake_noise, batch.real_noise):  # 6,144 numbers: standard errors .013 and .009
        assert abs(float(noise.mean())) < 0.06 and abs(float(noise.std()) - 1) < 0.05
    assert abs(float((batch.fake_noise * batch.real_noise).mean())) < 0.06  # fresh for each
    assert abs(float((batch.fake_noise * batch.data.noise).mean())) < 0.06


def test_gamma_is_the_signal_that_the_discriminator_sees(make_distiller: Makes) -> None:
    levels = torch.tensor([999, 600, 250, 249, 3])
    expected = [*(float(LEVELS[level]) for level in (749, 350, 0)), 1.0, 1.0]
    assert ufogen(make_distiller()).gamma(levels).tolist() == pytest.approx(expected, rel=1e-4)
    assert ufogen(make_distiller(gamma="one")).gamma(levels).tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("which", "expected"),
    [("all", [999, 700, 251, 0]), ("grid", [999, 749, 499, 249]), ("last", [999] * 4)],
)
def test_levels_that_are_trained(which: str, expected: list[int], make_distiller: Makes) -> None:
    levels = ufogen(make_distiller(timesteps=which)).trained_levels(torch.tensor([999, 700, 251, 0]))
    assert levels.tolist() == expected


@pytest.mark.parametrize(
    ("timesteps", "gap", "steps", "allowed"),
    [("last", 250, 2, "1,"), ("grid", 250, 3, "1, 2, 4,"), ("grid", 250, 4, "")],
)
def test_what_is_sampled_is_trained(
    timesteps: str, gap: int, steps: int, allowed: str, make_distiller: Makes
) -> None:
    own: dict[str, object] = {"timesteps": timesteps, "gap": gap, "sampling_steps": steps}
    if not allowed:
        make_distiller(**own)
        return
    with pytest.raises(
        InputError, match=rf"objective\.sampling_steps: {steps}: .*allowed: {allowed} or objective"
    ):
        make_distiller(**own)


@pytest.mark.parametrize("reconstruction", ["diffusion", "distill", "ema", "none"])
def test_the_generators_loss_by_hand(
    reconstruction: str, make_distiller: Makes, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """log(1 + e^-2) for a logit of 2, and 3 gamma |target - x0'|^2 with x0' = 0; gamma is 1 at level 249."""
    objective = ufogen(make_distiller(reconstruction=reconstruction, reconstruction_weight=3.0))
    batch = at_levels(objective, 249)
    monkeypatch.setattr(objective.discriminator, "forward", Spy(2.0))
    monkeypatch.setattr(objective.model.unet, "forward", lambda latents, *_: torch.zeros_like(latents))
    loss = float(objective.loss("model", batch))
    teacher = load_model(base_folder, "cpu")
    with torch.no_grad():
        clean = teacher.codec.encode(batch.data.images)
        noisy = teacher.diffusion.add_noise(clean, batch.data.noise, batch.data.timesteps)
        predicted = teacher(noisy, batch.data.timesteps, teacher.text_encoder(batch.data.tokens))
    error = {"diffusion": clean, "none": torch.zeros(1)}.get(reconstruction, predicted).square().mean()
    assert loss == pytest.approx(0.126928 + 3 * float(error), rel=1e-4)
    assert objective.terms()["adversarial"] == pytest.approx(0.126928, rel=1e-4)


@pytest.mark.parametrize(
    ("logit", "clamp", "expected"),
    [
        (0.0, 0.5, 2 * 0.693147),
        (0.3, 0.5, 0.554355 + 0.854355),  # log(1 + e^-.3) + log(1 + e^.3)
        (3.0, 0.5, 0.474077 + 3.048587),  # a real one counts as .5, a fake one as 3
        (3.0, None, 0.048587 + 3.048587),
        (-3.0, 0.5, 3.048587 + 0.474077),
    ],
)
def test_the_discriminators_loss_by_hand(
    logit: float, clamp: float | None, expected: float, make_distiller: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = ufogen(make_distiller(clamp_logits=clamp))
    monkeypatch.setattr(objective.discriminator, "forward", Spy(logit))
    assert float(objective.loss("discriminator", objective.batch(0))) == pytest.approx(expected, rel=1e-5)


def test_a_zeroed_last_layer_gives_all_the_same_logit_at_first(make_distiller: Makes) -> None:
    for is_zero in (True, False):
        objective = ufogen(make_distiller(zero_last_layer=is_zero))
        batch = objective.batch(0)
        with torch.no_grad():
            context = objective.model.text_encoder(batch.data.tokens)
            logits = objective.discriminator(batch.data.noise, batch.data.timesteps, context)
        assert bool((logits == 0).all()) == is_zero
        assert float(logits.std()) > 0 or is_zero


def test_the_generator_learns_through_the_discriminator_and_neither_trains_the_other(
    make_distiller: Makes,
) -> None:
    objective = ufogen(make_distiller(reconstruction="none", zero_last_layer=False))
    generator, critic = list(objective.model.unet.parameters()), list(objective.discriminator.parameters())
    objective.loss("model", objective.batch(0)).backward()
    assert any(float(p.grad.abs().max()) > 0 for p in generator if p.grad is not None)
    assert all(p.grad is None for p in critic) and all(p.requires_grad for p in critic)
    for parameter in generator:
        parameter.grad = None
    objective.loss("discriminator", objective.batch(0)).backward()
    assert any(float(p.grad.abs().max()) > 0 for p in critic if p.grad is not None)
    assert all(p.grad is None for p in generator)
    text = objective.model.text
    assert text is not None and all(p.grad is None and not p.requires_grad for p in text.parameters())


def test_the_gradient_through_the_discriminator_by_autograd(
    base_folder: Path, scenes: Dataset, settings: TrainingSettings
) -> None:
    """As of one graph, and where activations are computed again, too."""
    own, found = UfogenSettings(zero_last_layer=False, reconstruction_weight=0.5), list[list[Tensor]]()
    for checkpointing in ("none", "blocks"):
        chosen = replace(settings, checkpointing=checkpointing)
        objective = ufogen(Distiller(base_folder, scenes, chosen, own, seed=1))
        batch, unet = objective.batch(0), objective.model.unet
        loss = objective.loss("model", batch)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in unet.parameters() if p.grad is not None)])
    unet.zero_grad()
    latents, context = objective.read(batch.data)
    levels, diffusion = batch.data.timesteps, objective.model.diffusion
    clean = objective.model(diffusion.add_noise(latents, batch.data.noise, levels), levels, context)
    before = objective.before(levels)
    logits = objective.discriminator(
        diffusion.noised(clean, batch.fake_noise, before), before.clamp(min=0), context
    )
    weighed = objective.gamma(levels) * (latents - clean).square().mean((1, 2, 3))
    loss = (1 + (-logits).exp()).log().mean() + 0.5 * weighed.mean()
    loss.backward()
    whole = [loss.detach(), *(p.grad for p in unet.parameters() if p.grad is not None)]
    for gradients in found:
        torch.testing.assert_close(gradients, whole, rtol=1e-4, atol=1e-6)


def test_the_discriminator_takes_its_turns(make_distiller: Makes) -> None:
    objective = ufogen(make_distiller(discriminator_every=3))
    assert [len(objective.turns(step)) for step in range(7)] == [2, 1, 1, 2, 1, 1, 2]
    betas = {name: part.optimizer.defaults["betas"] for name, part in objective.parts.items()}
    assert betas == {"model": (0.9, 0.99), "discriminator": (0.0, 0.999)}


def test_the_running_mean_of_the_reconstruction(make_distiller: Makes) -> None:
    """Before step n it takes in the weights after step n - 1: at first the base's, then .1 of the way."""
    distiller = make_distiller(reconstruction="ema", reconstruction_ema_decay=0.9)
    follower = ufogen(distiller).discriminator.follower
    assert follower is not None
    name = "up.0.stages.0.conv.norm.weight"
    weights = [parameter(distiller.objective.model, name)]
    for step in (1, 2):
        distiller.train_to(step)
        weights.append(parameter(distiller.objective.model, name))
    mean = weights[0] + 0.1 * (weights[1] - weights[0])
    assert not torch.equal(weights[0], weights[1])
    torch.testing.assert_close(parameter(follower, name), mean)
    for _ in range(2):  # once, whatever number a batch has: with larger ones it goes back
        ufogen(distiller).discriminator.follow(distiller.objective.model, torch.tensor(0), 0.9)
        torch.testing.assert_close(parameter(follower, name), mean + 0.1 * (weights[2] - mean))


def parameter(model: Model, name: str) -> Tensor:
    return dict(model.unet.named_parameters())[name].detach().clone()
