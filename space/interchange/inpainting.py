"""Inpainting as what it changes in a network: a difference of its weights, beside those of new inputs.

What was learnt with one network is added to another of the same architecture (the one-step model that was
distilled from it). A mask and the latents of the image with a hole enter behind the noisy latents, in this
order, which is that of diffusers' pipelines.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from space.interchange.checkpoints import assign, empty_unet
from space.interchange.weight_files import read_tensors
from space.shared.files import replacing
from space.shared.plain import InputError
from space.unet import UNet

INPAINTING_FILE = "inpainting.safetensors"
_INPUTS, _FIRST = "new_inputs.weight", "conv_in.weight"


def save_difference(base: UNet, trained: UNet, inputs: Tensor, folder: Path) -> None:
    """What training has changed in a network, and the weights of the first convolution for what it sees
    beside the latents. Raises OSError."""
    from safetensors.torch import save_file

    before = base.state_dict()
    difference = {name: tensor - before[name] for name, tensor in trained.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / INPAINTING_FILE) as own:
        whole = difference | {_INPUTS: inputs.detach()}
        save_file({name: tensor.cpu().contiguous() for name, tensor in whole.items()}, own)


def carried_to(unet: UNet, folder: Path) -> UNet:
    """Another network with the difference that lies in a folder; its new inputs are `condition_channels`.

    Raises:
        InputError: naming the first layer that the difference has in another shape, or that one lacks.
    """
    difference, weights = read_tensors(folder / INPAINTING_FILE), dict[str, Tensor]()
    if _INPUTS not in difference:
        raise InputError(f"{folder / INPAINTING_FILE}: {_INPUTS} is missing")
    inputs = difference.pop(_INPUTS)
    for name, own in unet.state_dict().items():
        given = difference.pop(name, None)
        if given is None and name.startswith("guidance."):  # the base is told no scale: nothing has changed
            given = torch.zeros_like(own)
        if given is None or given.shape != own.shape:
            there = "missing" if given is None else str(list(given.shape))
            raise InputError(f"{name}: {there} in the adapter, {list(own.shape)} in this network")
        weights[name] = own + given.to(own)
    if difference:
        raise InputError(f"{next(iter(difference))}: in the adapter, but this network has no such layer")
    weights[_FIRST] = torch.cat([weights[_FIRST], inputs.to(weights[_FIRST])], dim=1)
    channels = unet.architecture.condition_channels + inputs.shape[1]
    return assign(empty_unet(replace(unet.architecture, condition_channels=channels)), weights)
