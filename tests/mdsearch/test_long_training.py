"""What commands that train for long let choose about their folder."""

from __future__ import annotations

import pytest

from mdsearch import long_training
from mdsearch.long_training import LongTraining
from space.shared.plain import InputError


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"keep_steps": (150,)}, r"keep_steps: 150 .* allowed: multiples of 100 \(state_every_steps\)"),
        ({"keep_steps": (0,)}, "keep_steps: 0 is no step"),
        ({"keep_last": 0}, "keep_last: 0 is not possible; allowed: 1 or more"),
        ({"state_every_steps": 0}, "state_every_steps: 0"),
        ({"rollbacks": -1}, "rollbacks: -1 is not possible; allowed: 0 or more"),
        ({"images": 0}, "images: 0"),
    ],
)
def test_what_cannot_be_kept_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        LongTraining(**{"state_every_steps": 100, **fields}).check_counts([250])  # type: ignore[arg-type]


def test_states_stay_of_steps_that_write_one_and_of_the_last() -> None:
    chosen = LongTraining(state_every_steps=100, keep_steps=(200, 250))
    chosen.check_counts([250])
    assert (chosen.kept().keep_steps, chosen.kept().images) == ((200, 250), 48)


def test_one_worker_has_no_shares_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = LongTraining(parallel="fsdp")
    assert chosen.without_effect_alone(1) == ["parallel=fsdp has no effect: there is one worker"]
    assert chosen.without_effect_alone(2) == LongTraining().without_effect_alone(1) == []
    monkeypatch.setattr(long_training, "given_workers", lambda: 2)
    assert chosen.without_effect_alone(1) == []
