"""What a discriminator tells apart, and when that ends a training."""

from __future__ import annotations

import pytest
import torch

from tests.training.examples import Makes, ufogen
from training.failures import Collapsed
from training.objectives.critic import told_by_luck


@pytest.mark.parametrize("collapse", [0.98, None])
def test_a_discriminator_that_tells_all_apart_ends_the_training(
    collapse: float | None, make_distiller: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    distiller = make_distiller(discriminator_every=1, collapse=collapse)
    critic = ufogen(distiller).discriminator
    all_of = torch.tensor([True, True])
    critic.watch(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 1.0]), all_of, 2, None)
    assert float(critic.told_apart) == pytest.approx(0.5 + 0.01 * (0.75 - 0.5))
    critic.watch(torch.zeros(2), torch.zeros(2), all_of, 2, None)  # as at first: half by luck
    assert float(critic.told_apart) == pytest.approx(0.5 + 0.99 * 0.01 * (0.75 - 0.5))
    critic.told_apart.fill_(1.0)
    monkeypatch.setattr(critic, "watch", lambda *told: None)
    if collapse is None:
        distiller.train_to(2)
        return
    with pytest.raises(Collapsed, match=r"objective\.collapse: 0\.98"):
        distiller.train_to(2)
    assert distiller.step == 0  # before that update


def test_what_is_told_apart_does_not_depend_on_how_a_batch_is_divided(
    make_distiller: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = ufogen(make_distiller())
    critic, real, fake = objective.discriminator, torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -2.0])
    for part in (slice(1), slice(1, 2)):
        critic.watch(real[part], fake[part], torch.tensor([True]), 2, None)
    assert float(critic.told_apart) == pytest.approx(0.5 + 0.01 * (0.75 - 0.5), abs=1e-5)
    parts: list[tuple[int, int]] = []
    monkeypatch.setattr(critic, "watch", lambda real, fake, _, of, total: parts.append((len(real), of)))
    for rows in (range(6), range(6, 8)):
        objective.loss("discriminator", objective.batch(0, rows))
    assert parts == [(6, 8), (2, 8)]


def test_a_training_that_goes_back_forgets_what_was_told_apart(
    make_distiller: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    distiller = make_distiller()
    before, objective = distiller.state().copied(), ufogen(distiller)
    critic, batch = objective.discriminator, objective.batch(0)
    with monkeypatch.context() as patched:
        patched.setattr(critic, "watch", lambda *told: critic.told_apart.fill_(1.0))
        objective.loss("discriminator", batch)
    with pytest.raises(Collapsed):
        objective.loss("discriminator", batch)
    distiller.restore(before)
    objective.loss("discriminator", batch)
    assert objective.terms()["told_apart"] == pytest.approx(0.5)  # as at first, where all logits are 0


def test_a_discriminator_that_never_learns_is_said() -> None:
    assert told_by_luck([0.5] * 199) is None  # young
    assert told_by_luck([0.5] * 199 + [0.53] + [0.5] * 50) is None  # it did once
    said = told_by_luck([0.5] * 199 + [0.512])
    assert said is not None and "in 200 updates the discriminator told 51.2% apart at best" in said


def test_what_lies_in_noise_does_not_count_as_told_apart(make_distiller: Makes) -> None:
    """Of two latents that count one is told right on one side alone: three quarters."""
    critic = ufogen(make_distiller()).discriminator
    real, fake = torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.tensor([-1.0, 1.0, 1.0, 1.0])
    critic.watch(real, fake, torch.tensor([True, True, False, False]), 4, None)
    assert float(critic.told_apart) == pytest.approx(0.5 + (1 - 0.99**0.5) * (0.75 - 0.5))
    critic.watch(real, fake, torch.zeros(4, dtype=torch.bool), 4, None)
    assert float(critic.told_apart) == pytest.approx(0.5 + (1 - 0.99**0.5) * (0.75 - 0.5))


@pytest.mark.parametrize(
    ("own", "counts"),
    [
        ({}, "clear"),
        ({"timesteps": "last"}, "all"),  # 749: .3 % signal
        ({"timesteps": "last", "gap": 960}, "clear"),
    ],
)
def test_of_what_is_seen_with_more_signal_than_noise_a_discriminator_can_know(
    own: dict[str, object], counts: str, make_distiller: Makes
) -> None:
    objective = ufogen(make_distiller(**own))
    levels = objective.trained_levels(torch.arange(1000))
    power = objective.gamma(levels)
    clear = power >= 0.5
    assert torch.equal(objective.counted(levels), clear if counts == "clear" else torch.ones_like(clear))
    assert bool(clear.any()) is (counts == "clear")


def test_a_collapse_is_noticed_with_the_default_settings(
    make_distiller: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a discriminator that knows all that is to be known, and tosses a coin of what lies in noise."""
    objective = ufogen(make_distiller())
    critic, coins = objective.discriminator, torch.Generator().manual_seed(0)
    updates = 0
    while float(critic.told_apart) <= 0.98 and updates < 2000:
        timesteps = torch.randint(1000, (8,), generator=coins)
        known = objective.gamma(timesteps) >= 0.5
        coin = torch.randint(0, 2, (8,), generator=coins) * 2.0 - 1
        real, fake = torch.where(known, 1.0, coin), torch.where(known, -1.0, coin)
        critic.watch(real, fake, objective.counted(timesteps), 8, None)
        updates += 1
    assert objective.own.collapse == 0.98 and 320 < updates < 1000
