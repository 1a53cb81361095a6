"""Noise levels, targets, weights and sampling, against formulas written out by hand."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch
from torch import Tensor

from space.shared.plain import InputError
from training.diffusion import Diffusion, DiffusionSettings

CPU = torch.device("cpu")
PREDICTIONS = get_args(get_type_hints(DiffusionSettings)["prediction"])


def make(prediction: str = "x0", **changes: object) -> Diffusion:
    changes.setdefault("zero_terminal_snr", prediction != "epsilon")
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
        return {"x0": clean, "epsilon": e, "v": signal * e - spread * clean}[prediction]

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
    diffusion = make(prediction, min_snr_gamma=5.0, zero_terminal_snr=False)
    clean, noise = torch.zeros(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    timesteps = torch.tensor([600])
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    a = float(diffusion.add_noise(one, zero, timesteps))
    s = float(diffusion.add_noise(zero, one, timesteps))
    assert (a / s) ** 2 < 5
    d = 0.3
    # From x_t = a x0 + s e: an x0 off by d is an e off by -d a / s, and a v = (a x_t - x0) / s off by -d / s.
    prediction_ = {
        "x0": clean + d,
        "epsilon": noise - d * a / s,
        "v": a * noise - s * clean - d / s,
    }[prediction]
    loss = float(diffusion.loss(prediction_, clean, noise, timesteps))
    assert loss == pytest.approx((a / s) ** 2 * d**2, rel=1e-3)


def test_epsilon_with_zero_terminal_snr_is_refused() -> None:
    with pytest.raises(InputError, match="zero_terminal_snr: true beside prediction: epsilon"):
        DiffusionSettings(prediction="epsilon")
