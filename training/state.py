"""What training needs to go on exactly, on the disk: every tensor by a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from space.shared.files import replacing
from space.shared.plain import InputError

FORM = 2  # the first one held lists, in the order of the parameters
STATE_BYTES_PER_PARAMETER = 4 * 4  # weights, their average, and AdamW's two moments, in fp32
StateDict = dict[str, Any]


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # an open file, since torch says of a full disk only "unexpected pos" if it is given a name
    with replacing(path) as own, own.open("wb") as file:
        torch.save({"form": FORM, **state}, file)


def read_state(path: Path, device: torch.device) -> StateDict:
    """Raises InputError for a file that is none, or was written in an earlier form."""
    try:
        state: StateDict = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises half a dozen kinds for a broken file
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{path}: cannot be read as a training state: {reason}") from None
    if not isinstance(state, dict) or state.get("form") != FORM:
        raise InputError(f"{path}: is of an earlier version of mdsearch, and cannot be gone on with")
    return state


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict())


def named_optimizer_state(optimizer: Optimizer, module: nn.Module) -> dict[str, dict[str, Any]]:
    """What the optimiser keeps of each parameter, by the parameter's name in `module`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {names[parameter]: dict(kept) for parameter, kept in optimizer.state.items()}


def load_optimizer_state(optimizer: Optimizer, module: nn.Module, state: Mapping[str, Any]) -> None:
    """Raises KeyError for a name that is no parameter's. Rates and decays stay those of the settings."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    held = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    positions = {name: position for position, name in enumerate(held)}
    optimizer.load_state_dict(
        {
            "state": {positions[name]: kept for name, kept in state.items()},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )
