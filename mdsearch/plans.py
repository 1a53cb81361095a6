"""A plan on the screen: what `dry_run=true` ends with."""

from __future__ import annotations

from typing import Literal

from training.plan import WorkPlan


def print_plan(plan: WorkPlan, form: Literal["text", "json"]) -> int:
    """The exit status: 1 where the work would not begin."""
    print(plan.to_json() if form == "json" else plan.text(), flush=True)
    return 1 if plan.refused else 0
