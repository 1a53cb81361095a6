"""What every strategy writes into the record, and the words for it."""

from __future__ import annotations

from typing import Any

from search.runs.record import MemoryRecord, State
from search.strategy import Decision, Job, Report
from space.prices.candidates import candidate_price
from space.prices.macs import Cost
from space.proxy import Proxy, trained_form


class Ledger:
    """What every strategy does with a job once it is proposed: write down its rungs and its end."""

    def __init__(self, record: MemoryRecord) -> None:
        self.record = record

    def write_proposed(self, job: Job, number: int, cost: Cost, proxy: Proxy, **fields: Any) -> Job:
        self.record.append(
            "proposed",
            key=job.key,
            number=number,
            purpose=job.purpose,
            name=job.name,
            architecture=job.architecture.to_plain(),
            architecture_id=job.architecture.id,
            parameters=cost.parameters,
            macs=cost.macs,
            attention_macs=cost.attention_macs,
            proxy_parameters=candidate_price(trained_form(job.architecture, proxy)).parameters,
            seed=job.seed,
            steps=job.rungs[-1],
            **fields,
        )
        return job

    def recorded(self, key: str, step: int) -> Decision | None:
        """The decision that stands in the record for a rung; None for a new one."""
        for rung in self.record.history.by_key[key].rungs:
            if rung.step == step:
                return Decision(rung.decision, rung.reason)
        return None

    def write_rung(self, key: str, report: Report, decision: Decision) -> Decision:
        self.record.append(
            "rung",
            key=key,
            step=report.step,
            scores=report.scores,
            seconds={name: round(seconds, 3) for name, seconds in report.seconds.items()},
            decision=decision.word,
            reason=decision.reason,
            deviations=report.deviations,
        )
        return decision

    def write_ended(self, key: str, state: State, reason: str) -> None:
        if self.record.history.by_key[key].state == "running":
            self.record.append("ended", key=key, state=state, reason=reason)
