"""Noise levels, targets, weights and sampling, against formulas written out by hand."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from space.shared.plain import InputError
from training.diffusion import Diffusion, DiffusionSettings, ddim_scheduler

CPU = torch.device("cpu")
PREDICTIONS = get_args(get_type_hints(DiffusionSettings)["prediction"])


def make(prediction: str = "x0", **changes: object) -> Diffusion:
    changes.setdefault("zero_terminal_snr", prediction != "epsilon")
    if prediction == "flow":
        changes["schedule"] = "flow"
    return Diffusion(DiffusionSettings(prediction=prediction, **changes), None, CPU)  # type: ignore[arg-type]


def test_stable_diffusion_schedule_ends_at_its_known_noise_level() -> None:
    """sqrt(alphas_cumprod) of SD's last step is 0.0683, a figure of the zero-SNR paper (Lin et al., 2024)."""
    diffusion = make("epsilon", schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    noisy = diffusion.add_noise(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.tensor([999]))
    assert float(noisy) == pytest.approx(0.0683, abs=1e-4)


def test_zero_terminal_snr_leaves_noise_alone() -> None:
    noise = torch.randn(1, 2, 3, 3)
    noisy = make("x0").add_noise(torch.ones(1, 2, 3, 3), noise, torch.tensor([999]))
    torch.testing.assert_close(noisy, noise, atol=2e-4, rtol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_network_has_no_loss_and_samples_the_image(prediction: str) -> None:
    diffusion = make(prediction)
    clean, noise = torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)

    def perfect(latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Knows x0, and tells the noise from it: e = (x_t - a x0) / s."""
        zero, one = torch.zeros_like(clean), torch.ones_like(clean)
        signal = diffusion.add_noise(one, zero, timesteps)
        spread = diffusion.add_noise(zero, one, timesteps)
        e = (latents - signal * clean) / spread
        return {"x0": clean, "epsilon": e, "v": signal * e - spread * clean, "flow": e - clean}[prediction]

    timesteps = torch.tensor([100, 700])
    noisy = diffusion.add_noise(clean, noise, timesteps)
    prediction_ = perfect(noisy, timesteps, torch.zeros(1))
    assert float(diffusion.loss(prediction_, clean, noise, timesteps)) < 1e-9

    context = torch.zeros(2, 3, 4)
    sampled = diffusion.sample(perfect, noise, context, context[:1], steps=10, guidance=1.0)
    torch.testing.assert_close(sampled, clean, atol=1e-2, rtol=1e-2)


def test_guidance_goes_beyond_the_conditional_prediction() -> None:
    """A network that predicts the mean of its context: empty 0, conditional 1, so guidance g gives g."""

    def denoise(latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        return context.mean(dim=(1, 2)).view(-1, 1, 1, 1).expand_as(latents)

    diffusion, noise = make("x0"), torch.randn(2, 1, 4, 4)
    for guidance in (0.0, 1.0, 2.5):
        sampled = diffusion.sample(
            denoise, noise, torch.ones(2, 3, 4), torch.zeros(1, 3, 4), steps=4, guidance=guidance
        )
        torch.testing.assert_close(sampled, torch.full_like(sampled, guidance))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_the_x0_error_alike_whatever_is_predicted(prediction: str) -> None:
    """Three networks with one x0 error d have, at SNR below gamma, the loss SNR * d^2."""
    diffusion = make(prediction, min_snr_gamma=5.0, zero_terminal_snr=prediction == "flow")
    clean, noise = torch.zeros(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    timesteps = torch.tensor([800 if prediction == "flow" else 600])
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    a = float(diffusion.add_noise(one, zero, timesteps))
    s = float(diffusion.add_noise(zero, one, timesteps))
    assert (a / s) ** 2 < 5
    d = 0.3
    # From x_t = a x0 + s e: an x0 off by d is an e off by -d a / s, and a v = (a x_t - x0) / s off by -d / s,
    # and so is a velocity e - x0 = (x_t - x0) / s, where a is 1 - s.
    prediction_ = {
        "x0": clean + d,
        "epsilon": noise - d * a / s,
        "v": a * noise - s * clean - d / s,
        "flow": noise - clean - d / s,
    }[prediction]
    loss = float(diffusion.loss(prediction_, clean, noise, timesteps))
    assert loss == pytest.approx((a / s) ** 2 * d**2, rel=1e-3)


def test_epsilon_with_zero_terminal_snr_is_refused() -> None:
    with pytest.raises(InputError, match="zero_terminal_snr: true beside prediction: epsilon"):
        DiffusionSettings(prediction="epsilon")


def test_flow_goes_straight_from_the_image_to_noise() -> None:
    """x at step t of T is (1 - s) x0 + s e with s = (t + 1) / T, and the target e - x0 at every step."""
    flow = make("flow", timesteps=4)
    clean, noise, timesteps = torch.full((4, 1, 1, 1), 2.0), torch.full((4, 1, 1, 1), -6.0), torch.arange(4)
    assert flow.add_noise(clean, noise, timesteps).flatten().tolist() == [0, -2, -4, -6]
    assert float(flow.loss(torch.full_like(clean, -8.0), clean, noise, timesteps)) == 0
    assert float(flow.loss(torch.full_like(clean, -7.0), clean, noise, timesteps)) == 1


@pytest.mark.parametrize("steps", [1, 3, 6, 50])
def test_flow_steps_as_diffusers_euler_does_over_the_same_levels(steps: int) -> None:
    flow, noise = make("flow"), torch.randn(2, 3, 4, 4)
    asked: list[int] = []

    def velocity(latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        asked.append(int(timesteps[0]))
        return torch.sin(3 * latents) + timesteps.view(-1, 1, 1, 1) / 1000

    ours = flow.sample(velocity, noise, torch.zeros(2, 1, 1), torch.zeros(1, 1, 1), steps=steps, guidance=1.0)
    peer = FlowMatchEulerDiscreteScheduler()
    peer.set_timesteps(sigmas=[(timestep + 1) / 1000 for timestep in asked])
    latents = noise
    for level in peer.timesteps:
        latents = peer.step(velocity(latents, (level - 1).expand(2), noise), level, latents).prev_sample
    torch.testing.assert_close(ours, latents, atol=1e-4, rtol=1e-4)
    assert asked[0] == 999 and len(asked) == 2 * steps


def test_flow_clips_the_image_that_it_steps_towards() -> None:
    flow = Diffusion(DiffusionSettings(prediction="flow", schedule="flow"), 1.0, CPU)
    sampled = flow.sample(
        lambda latents, timesteps, context: torch.full_like(latents, -50.0),
        torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), steps=5, guidance=1.0,
    )  # fmt: skip
    torch.testing.assert_close(sampled, torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"prediction": "flow"},
            "prediction: flow beside schedule: linear is not possible; allowed: flow",
        ),
        ({"schedule": "flow"}, "prediction: x0 beside schedule: flow is not possible"),
        ({"prediction": "flow", "schedule": "flow", "zero_terminal_snr": False}, "zero_terminal_snr: false"),
    ],
)
def test_what_does_not_go_with_flow_is_refused(words: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DiffusionSettings(**words)  # type: ignore[arg-type]


@pytest.mark.parametrize("gamma", [0.0, -5.0, float("nan")])
def test_weights_that_turn_the_loss_round_are_refused(gamma: float) -> None:
    with pytest.raises(InputError, match=f"min_snr_gamma: {gamma:g} is not possible; allowed: above 0"):
        DiffusionSettings(min_snr_gamma=gamma)


def test_what_steps_by_ddim_refuses_flow() -> None:
    flow = make("flow")
    assert (flow.settings.sampler, make("v").settings.sampler) == ("euler", "ddim")
    for ask in (lambda: flow.alphas_cumprod, lambda: ddim_scheduler(flow.settings, None)):
        with pytest.raises(InputError, match="prediction: flow, which no DDIM generates by"):
            ask()
