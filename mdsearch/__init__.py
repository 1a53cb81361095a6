"""Find efficient text-to-image networks: architecture search under hard budgets.

From a notebook, the same as from the command line:

    import mdsearch

    result = mdsearch.search("budget=md_lite", "trials=6")
    print(result.best.to_yaml(), result.report)

    md = mdsearch.Architecture.load("md.yaml")
    print(mdsearch.price(md).parameters)

What `__all__` names is public: it stays from release to release, while the packages beneath may change. A
name is imported when it is first asked for, so that `import mdsearch` takes no time, and pricing works where
Ray, Optuna and Hydra are absent.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from mdsearch.packages import take_ours

take_ours()

if TYPE_CHECKING:
    from mdsearch.api import ask_tell, read_run, run_search, search, settings
    from search.ask_tell import Asked, AskTell, Told
    from search.objectives import Objective
    from search.run import RunResult
    from search.runs.record import History, Trial, read_history
    from search.samplers.base import Observation, Proposal, Sampler
    from search.samplers.hard_budget import HardBudgetSampler
    from search.samplers.lasso import LassoSampler
    from search.samplers.linear import LinearSampler
    from search.samplers.studies import report_scores
    from search.settings import SearchSettings
    from search.statistics.curves import Curve, points_at
    from search.statistics.pareto import Point
    from search.stopping.base import StoppingRule
    from space.architecture import Architecture
    from space.budget import Budget
    from space.choices import Space
    from space.difference import difference
    from space.kinds.rules import Cost
    from space.kinds.stage import Stage
    from space.prices.macs import price
    from space.proxy import Proxy, narrow
    from space.shared.captions import read_captions
    from space.shared.plain import InputError
    from space.stages import stages

    __version__: str

__all__ = [
    "Architecture",
    "AskTell",
    "Asked",
    "Budget",
    "Cost",
    "Curve",
    "HardBudgetSampler",
    "History",
    "InputError",
    "LassoSampler",
    "LinearSampler",
    "Objective",
    "Observation",
    "Point",
    "Proposal",
    "Proxy",
    "RunResult",
    "Sampler",
    "SearchSettings",
    "Space",
    "Stage",
    "StoppingRule",
    "Told",
    "Trial",
    "__version__",
    "ask_tell",
    "difference",
    "narrow",
    "points_at",
    "price",
    "read_captions",
    "read_history",
    "read_run",
    "report_scores",
    "run_search",
    "search",
    "settings",
    "stages",
]

_NAMES_IN = {
    "mdsearch.api": ("ask_tell", "read_run", "run_search", "search", "settings"),
    "search.ask_tell": ("AskTell", "Asked", "Told"),
    "search.objectives": ("Objective",),
    "search.run": ("RunResult",),
    "search.runs.record": ("History", "Trial", "read_history"),
    "search.samplers.base": ("Observation", "Proposal", "Sampler"),
    "search.samplers.hard_budget": ("HardBudgetSampler",),
    "search.samplers.lasso": ("LassoSampler",),
    "search.samplers.linear": ("LinearSampler",),
    "search.samplers.studies": ("report_scores",),
    "search.settings": ("SearchSettings",),
    "search.statistics.curves": ("Curve", "points_at"),
    "search.statistics.pareto": ("Point",),
    "search.stopping.base": ("StoppingRule",),
    "space.architecture": ("Architecture",),
    "space.budget": ("Budget",),
    "space.choices": ("Space",),
    "space.difference": ("difference",),
    "space.kinds.rules": ("Cost",),
    "space.kinds.stage": ("Stage",),
    "space.prices.macs": ("price",),
    "space.proxy": ("Proxy", "narrow"),
    "space.shared.captions": ("read_captions",),
    "space.shared.plain": ("InputError",),
    "space.stages": ("stages",),
}
_MODULE_OF = {name: module for module, names in _NAMES_IN.items() for name in names}


def __getattr__(name: str) -> Any:
    """Public names, each imported when it is first asked for."""
    if name == "__version__":
        return metadata.version("mdsearch")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mdsearch' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
