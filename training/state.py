"""What training needs to go on exactly, on the disk: tensors by name in safetensors, beside plain JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from space.shared.files import file_digest, replacing, write_whole
from space.shared.plain import InputError
from training.failures import Diverged

FORM = 3  # the first one held lists, in the order of the parameters; the second was pickled
STATE_BYTES_PER_PARAMETER = 4 * 4  # weights, their average, and AdamW's two moments, in fp32
AVERAGED, OF_PARTS, POWERS = "averaged", "parts", "powers"
BETWEEN = "/"  # no name of a parameter holds one


@dataclass(frozen=True)
class TrainingState:
    """Of a training after some step.

    Attributes:
        plain: what JSON holds, its step and identity among it.
        tensors: by the section that they belong to and their name there: `averaged/unet.conv_in.weight`.
    """

    plain: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def step(self) -> int:
        return int(self.plain["step"])

    def copied(self) -> TrainingState:
        """The same on the CPU and apart from what training goes on to change."""
        return TrainingState(self.plain, {name: _copy(tensor) for name, tensor in self.tensors.items()})

    def section(self, *names: str) -> dict[str, Tensor]:
        """The tensors that belong to a section, by what is left of their names."""
        start = BETWEEN.join(names) + BETWEEN
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def _copy(tensor: Tensor) -> Tensor:
    """Contiguous, as safetensors holds all."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())


def named(section: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{section}{BETWEEN}{name}": tensor for name, tensor in tensors.items()}


# ---------------------------------------------------------------------------- files


def write_state(state: TrainingState, folder: Path) -> Path:
    """`<step>.json` and the tensors that it names, on the disk before this returns.

    The JSON comes last and makes the state: whatever a kill leaves without one is no state. Tensors carry
    their digest in their name, so that a step's second state never writes over what its first one names.

    Raises:
        Diverged: a tensor holds what is no number; nothing is written.
        OSError: it cannot be written; states of before are as they were.
    """
    from safetensors.torch import save_file

    if broken := [name for name, tensor in state.tensors.items() if not bool(tensor.isfinite().all())]:
        raise Diverged(f"{broken[0]} is not finite at step {state.step}")
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{state.step:08d}"
    own = folder / f".{stem}.{os.urandom(4).hex()}"
    try:
        save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, own)
        digest = file_digest(own).hex()
        tensors = folder / f"{stem}-{digest[:8]}.safetensors"
        with replacing(tensors, durable=True) as written:
            os.replace(own, written)
    finally:
        own.unlink(missing_ok=True)
    plain = {"form": FORM, **state.plain, "tensors": tensors.name, "sha256": digest}
    return write_whole(folder / f"{stem}.json", json.dumps(plain, indent=1), durable=True)


def read_state(path: Path) -> TrainingState:
    """Of its JSON file. Raises InputError where the two files are not whole, or of another version."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(plain, dict) or plain.get("form") != FORM:
            raise InputError(f"{path}: is of another version of mdsearch, and cannot be gone on with")
        tensors = path.parent / plain.pop("tensors")
        if file_digest(tensors).hex() != plain.pop("sha256"):
            raise InputError(f"{path}: {tensors.name} is damaged: its digest differs")
        return TrainingState(plain, load_file(tensors))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a training state: {reason}") from None


# ---------------------------------------------------------------------------- modules and optimisers


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict())


def named_optimizer_state(optimizer: Optimizer, module: nn.Module) -> dict[str, dict[str, Any]]:
    """What the optimiser keeps of each parameter, by the parameter's name in `module`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {names[parameter]: dict(kept) for parameter, kept in optimizer.state.items()}


def load_optimizer_state(optimizer: Optimizer, module: nn.Module, state: Mapping[str, Any]) -> None:
    """Raises KeyError for a name that is no parameter's. Rates and decays stay those of the settings."""
    parameters = dict(module.named_parameters())
    names: dict[Tensor, str] = {parameter: name for name, parameter in parameters.items()}
    held = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    positions = {name: position for position, name in enumerate(held)}
    laid_out = {
        positions[name]: {key: _laid_out(value, parameters[name]) for key, value in kept.items()}
        for name, kept in state.items()
    }
    optimizer.load_state_dict({"state": laid_out, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out(value: Any, parameter: Tensor) -> Any:
    """In the parameter's own order of memory, by which fused optimisers go through both at once."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def in_file(state: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """An optimiser's state as tensors by `<parameter>/<name>`, and as what is plain."""
    tensors = {
        f"{name}{BETWEEN}{key}": value
        for name, kept in state.items()
        for key, value in kept.items()
        if isinstance(value, Tensor)
    }
    plain = {
        name: {key: value for key, value in kept.items() if not isinstance(value, Tensor)}
        for name, kept in state.items()
    }
    return tensors, {name: kept for name, kept in plain.items() if kept}


def from_file(
    tensors: Mapping[str, Tensor], plain: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What `in_file` divided."""
    state: dict[str, dict[str, Any]] = {name: dict(kept) for name, kept in plain.items()}
    for key, tensor in tensors.items():
        name, _, kept = key.rpartition(BETWEEN)
        state.setdefault(name, {})[kept] = tensor
    return state
