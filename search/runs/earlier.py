"""What earlier versions wrote, in the words of this one: settings of run folders, and headers of records.

Files stay as they are; whoever reads one reads it through `current`. At first the settings of a sampler held
the fields of all samplers, those of stopping rules and data sets likewise, and a user's own class was "own".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {"own": "custom"}
# The fields that each of them acted on then; those that only others did said nothing.
ACTIVE: Mapping[str, Mapping[str, frozenset[str]]] = {
    "sampler": {
        "linear": frozenset({"modelled_trials"}),
        "tpe": frozenset({"startup_trials", "good_share", "modelled_trials"}),
        "nsga2": frozenset({"population", "modelled_trials"}),
        "gp": frozenset({"startup_trials", "modelled_trials"}),
        "random": frozenset(),
        "sobol": frozenset(),
        "grid": frozenset({"most_combinations"}),
        "custom": frozenset({"use", "options"}),
    },
    "stopping": {
        "paper": frozenset({"minimum_peers", "quantile", "deviations", "ahead_deviations"}),
        "median": frozenset({"minimum_peers"}),
        "asha": frozenset({"minimum_peers", "reduction"}),
        "extrapolate": frozenset({"minimum_peers", "confidence"}),
        "none": frozenset(),
        "custom": frozenset({"use", "options"}),
    },
    "data": {
        "scenes": frozenset({"scenes"}),
        "digits": frozenset(),
        "folder": frozenset({"folder", "captions", "max_unreadable_share", "memory_mib"}),
    },
}


def current(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings, or a record's header, as this version would have written them."""
    plain = dict(stored)
    for group, active in ACTIVE.items():
        if isinstance(plain.get(group), Mapping):
            plain[group] = _current(plain[group], active)
    confirmation = plain.get("confirmation")
    if isinstance(confirmation, Mapping) and "halted" in confirmation:
        rest = {field: value for field, value in confirmation.items() if field != "halted"}
        plain["confirmation"] = {"stopped": confirmation["halted"]} | rest
    cluster = plain.get("cluster")
    if isinstance(cluster, Mapping) and cluster.get("dashboard_port") == 8265:
        plain["cluster"] = {**cluster, "dashboard_port": None}  # the default then, seldom meant
    return {"strategy": {"name": "independent"}} | plain


def _current(chosen: Mapping[str, Any], active: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    plain = dict(chosen)
    name = plain.get("name")
    if not isinstance(name, str):  # which its reader refuses
        return plain
    plain["name"] = name = NAMES.get(name, name)
    if name not in active:
        return plain
    inactive = frozenset[str]().union(*active.values()) - active[name]
    return {field: value for field, value in plain.items() if field not in inactive}
