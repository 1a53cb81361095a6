"""How a trial of an earlier run stands in the record of a later one."""

from __future__ import annotations

from typing import Any

from search.runs.record import Trial
from space.shared.plain import to_plain


def prior_event(trial: Trial, source: str, name: str, number: int) -> dict[str, Any]:
    """The fields of a `prior` event: a trial whole, the run that trained it (`source`), the name that it goes
    by from here on, and a number below zero."""
    return {
        "key": f"prior {-number}",
        "number": number,
        "purpose": "prior",
        "name": name,
        "architecture": trial.architecture.to_plain(),
        "architecture_id": trial.architecture.id,
        "parameters": trial.cost.parameters,
        "macs": trial.cost.macs,
        "attention_macs": trial.cost.attention_macs,
        "proxy_parameters": trial.proxy_parameters,
        "seed": trial.seed,
        "steps": trial.steps,
        "source": source,
        "params": trial.params,
        "sampler_attributes": trial.sampler_attributes,
        "rungs": [to_plain(rung) for rung in trial.rungs],
        "state": trial.state,
        "reason": trial.reason,
        "started": trial.started,
        "ended": trial.ended,
    }
