"""Settings that cannot work are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from space.shared.plain import InputError
from training.latents import LatentSettings
from training.learning_rate import learning_rate
from training.settings import TrainingSettings, idle_settings
from training.text import TextSettings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0"),
        ({"ema_decay": 1.0}, "ema_decay: 1.0"),
        ({"betas": (0.9,)}, "allowed: two numbers"),
        ({"betas": (0.9, 1.0)}, "from 0 up to below 1"),
        ({"weight_decay": -0.1}, "weight_decay: -0.1 is not possible; allowed: 0 or more"),
        ({"weight_decay": float("nan")}, "weight_decay: nan"),
        ({"guidance": float("inf")}, "guidance: inf"),
        ({"sampling_steps": 1001}, "sampling_steps: 1001"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainingSettings(**change)  # type: ignore[arg-type]


def test_what_changes_nothing_is_said() -> None:
    idle = TrainingSettings(
        latents=LatentSettings(folder="vae"), text=TextSettings(folder="clip"), guidance=3.0
    )
    latents, text, guidance = idle_settings(idle)
    assert "training.latents.folder=vae has no effect: training.latents.codec=space_to_depth" in latents
    assert "training.text.folder=clip has no effect: training.text.encoder=small" in text
    assert "training.guidance=3" in guidance and "training.caption_dropout=0" in guidance
    acts = replace(
        idle, latents=LatentSettings("vae", folder="vae"), text=TextSettings("clip", folder="clip"),
        caption_dropout=0.1,
    )  # fmt: skip
    assert idle_settings(acts) == idle_settings(TrainingSettings()) == []


def test_learning_rate_warms_up_and_decays(settings: TrainingSettings) -> None:
    s = replace(settings, steps=44, warmup_steps=4, learning_rate=1.0)
    for decay, half_way in (("none", 1.0), ("linear", 0.5), ("cosine", 0.5)):
        decayed = replace(s, decay=decay)  # type: ignore[arg-type]
        assert learning_rate(decayed, 1.0, 0) == 0.25 and learning_rate(decayed, 1.0, 3) == 1.0
        assert learning_rate(decayed, 1.0, 24) == pytest.approx(half_way)
        assert learning_rate(decayed, 1.0, 44) == pytest.approx(1.0 if decay == "none" else 0.0)
    with pytest.raises(InputError, match=r"decay: 'cosin'.*did you mean 'cosine'"):
        learning_rate(replace(s, decay="cosin"), 1.0, 9)  # type: ignore[arg-type]
