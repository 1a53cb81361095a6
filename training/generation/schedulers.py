"""Another scheduler for a pipeline, over the same noise levels and network as the pipeline's own.

diffusers' `from_config` hands over what a configuration stores, and lets the new class fill the rest: a
pipeline that never clips would then clip, one of linear noise levels get others. Here a class's defaults
decide only what is its own affair, such as the order of a solver.
"""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

from space.interchange.one_step import OneStepScheduler
from space.shared.plain import InputError, nearest

NOISE_LEVELS = ("beta_start", "beta_end", "beta_schedule")
# What a scheduler does beyond its steps, and the value of not doing it.
_UNDONE = {
    "clip_sample": False,
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "use_flow_sigmas": False,
    "trained_betas": None,
    "prediction_type": "epsilon",
}
# Of one family: each runs where another one does. The latter are missing in diffusers' own list.
_FAMILY = (
    *(kind.name for kind in KarrasDiffusionSchedulers),
    "LCMScheduler",
    "TCDScheduler",
    "SASolverScheduler",
    "DDIMParallelScheduler",
    "DDPMParallelScheduler",
)


def rescheduled(own: Any, name: str) -> Any:
    """A scheduler by its class's name, or the name without its ending, that does what `own` does.

    Raises:
        InputError: no such class for this pipeline, or one that cannot do what the pipeline's own does.
    """
    possible: dict[str, Any] = {_short(kind.__name__): kind for kind in _possible(own)}
    kind = possible.get(_short(name))
    if kind is None:
        raise InputError(f"scheduler: {name!r} is none of this pipeline's; {nearest(name.lower(), possible)}")
    if type(own) is kind or (isinstance(own, kind) and not isinstance(own, OneStepScheduler)):
        return own  # its own class, or the one that ours refines
    if missing := getattr(kind, "_backends", [])[1:]:  # of diffusers' stand-in for what it cannot import
        raise InputError(f"scheduler: {kind.__name__} needs {', '.join(missing)}, which is not installed")
    ours, theirs = _parameters(type(own)), _parameters(kind)
    if any((key in ours) != (key in theirs) for key in NOISE_LEVELS):
        raise _cannot(kind, own, "noise levels")
    for key, undone in _UNDONE.items():
        if key in ours and key not in theirs and own.config[key] != undone:
            raise _cannot(kind, own, f"{key} {own.config[key]!r}")
    config = {key: value for key, value in own.config.items() if key != "_use_default_values"}
    for key in theirs - config.keys():
        if key in _UNDONE:
            config[key] = _UNDONE[key]
    try:
        return kind.from_config(config)
    except (NotImplementedError, ValueError) as error:
        raise InputError(f"scheduler: {kind.__name__}: {' '.join(str(error).split())}") from None


def _possible(own: Any) -> list[type]:
    names = _FAMILY if any(kind.__name__ in _FAMILY for kind in type(own).__mro__) else ()
    family = [getattr(diffusers, name) for name in names if hasattr(diffusers, name)]
    return list(dict.fromkeys([type(own), *own.compatibles, *family]))


def _short(name: str) -> str:
    return name.removesuffix("Scheduler").lower()


def _parameters(kind: type) -> set[str]:
    return set(inspect.signature(kind).parameters) - {"kwargs"}


def _cannot(kind: type, own: Any, what: str) -> InputError:
    return InputError(
        f"scheduler: {kind.__name__} cannot do what this pipeline's {type(own).__name__} does: {what}; "
        f"allowed: {_short(type(own).__name__)}, or another that can"
    )
