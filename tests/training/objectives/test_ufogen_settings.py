"""What UFOGen's settings decide, and refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from space.shared.plain import InputError
from tests.training.examples import Makes
from training.diffusion import DiffusionSettings
from training.distillation import with_base
from training.objectives.ufogen import UfogenSettings
from training.settings import TrainingSettings


def test_zero_terminal_snr_is_a_choice_of_the_noise_levels(make_distiller: Makes) -> None:
    assert make_distiller().objective.model.settings.diffusion.zero_terminal_snr
    student = make_distiller(zero_terminal_snr=False).objective.model
    assert not student.settings.diffusion.zero_terminal_snr
    assert float(student.diffusion.levels(torch.tensor([999]))[0]) > 3e-3


def test_noise_alone_beside_a_base_that_predicts_it_is_refused_by_its_field(make_distiller: Makes) -> None:
    base = make_distiller().objective.model.settings
    noise = DiffusionSettings(prediction="epsilon", zero_terminal_snr=False)
    with pytest.raises(InputError, match=r"^objective\.zero_terminal_snr: true beside prediction: epsilon"):
        with_base(
            TrainingSettings(), replace(base, diffusion=noise, one_step=False),
            UfogenSettings(zero_terminal_snr=True),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gap", 0), ("discriminator_every", 0), ("sampling_steps", 0), ("reconstruction_weight", -1.0),
        ("reconstruction_ema_decay", 1.5), ("clamp_logits", 0.0), ("collapse", 1.0),
        ("discriminator_learning_rate", -1.0), ("discriminator_betas", (0.9,)),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        replace(UfogenSettings(), **{field: value})  # type: ignore[arg-type]
