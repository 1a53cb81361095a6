"""One network that holds weights for every architecture of a space: trained once, inherited from by all.

What each architecture takes of them is said in space/slices.py; the forward pass is that of its own `UNet`
(weight sharing as in once-for-all networks, Cai et al., 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from space.architecture import Architecture
from space.choices import Space
from space.kinds.stage import Axis
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError
from space.slices import Piece, longer, pieces, taken
from space.unet import UNet


class Supernet(nn.Module):
    """Weights for every architecture of a space, narrowed by a proxy; runs the one that was chosen last.

    Attributes:
        largest: the architecture of the space with the most parameters, at the paper's scale.
        shared: the parameters.
        chosen: the architecture that runs, at the paper's scale; at first the largest.
    """

    chosen: Architecture
    _chosen: tuple[UNet, list[Piece]]  # in a tuple, its module is none of this one's

    def __init__(self, space: Space, proxy: Proxy | None = None) -> None:
        super().__init__()
        self.proxy = proxy or Proxy()
        self.largest, *others = corners(space)
        self._axes: dict[str, tuple[Axis, ...]] = {}
        found = {}
        for corner in (self.largest, *others):
            for piece in pieces(narrow(corner, self.proxy)):
                known = self._axes.get(piece.shared, piece.axes)
                self._axes[piece.shared] = tuple(map(longer, known, piece.axes))
                found[piece.shared] = piece
        shapes = {name: [sum(axis.segments) for axis in axes] for name, axes in self._axes.items()}
        self.shared = nn.ParameterDict(
            {name: nn.Parameter(_initial(piece, shapes)) for name, piece in found.items()}
        )
        self.choose(self.largest)

    def choose(self, architecture: Architecture) -> None:
        """The architecture, at the paper's scale, that `forward` runs from now on.

        Raises:
            InputError: it is not of this space.
        """
        candidate = narrow(architecture, self.proxy)
        found = list(pieces(candidate))
        for piece in found:
            if not self._holds(piece):
                raise InputError(
                    f"architecture {architecture.id}: {piece.name} is larger than any of this supernet's; "
                    "allowed: architectures of its space"
                )
        with torch.device("meta"):
            self._chosen = UNet(candidate), found
        self.chosen = architecture

    def _holds(self, piece: Piece) -> bool:
        most = self._axes.get(piece.shared)
        return most is not None and most == tuple(map(longer, most, piece.axes))

    def weights(self) -> dict[str, Tensor]:
        """The chosen candidate's weights by their names in `UNet`: slices of the shared parameters, or, of
        several segments, slices joined. Gradients reach what they are slices of."""
        _, found = self._chosen
        return {
            piece.name: taken(self.shared[piece.shared], piece.axes, self._axes[piece.shared])
            for piece in found
        }

    def forward(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """As `UNet.forward` of the chosen architecture."""
        unet, _ = self._chosen
        result: Tensor = functional_call(unet, self.weights(), (latents, timesteps, context))
        return result


def corners(space: Space) -> list[Architecture]:
    """The architecture with the most parameters, then the same with every switch at each of its values and
    with every width at its largest or next to it. Together they have each parameter of the space at its
    largest: all grow with each number, but for the 1x1 shortcuts, which are only where widths differ."""
    choices = dict(space.choices())
    switches = {name: values for name, values in choices.items() if type(values[0]) is not int}
    chosen = {name: values[0] if name in switches else max(values) for name, values in choices.items()}
    before: dict[str, Any] = {}
    while chosen != before:
        before = dict(chosen)
        for name, values in switches.items():
            sizes = {v: price(space.architecture(chosen | {name: v})).parameters for v in values}
            if max(sizes.values()) > sizes[chosen[name]]:
                chosen[name] = max(values, key=sizes.__getitem__)
    switched = [{name: value} for name, values in switches.items() for value in values]
    narrower = [
        {name: sorted(values)[-2]}
        for name, values in choices.items()
        if name.endswith(".channels") and len(values) > 1
    ]
    made = [space.architecture(chosen | one | other) for one in [{}, *switched] for other in [{}, *narrower]]
    return list(dict.fromkeys(made))


def _initial(piece: Piece, shapes: Mapping[str, Sequence[int]]) -> Tensor:
    """As the module itself begins, at its largest."""
    beside, _, kind = piece.shared.rpartition("/")
    made = torch.empty(tuple(shapes[piece.shared]))
    if issubclass(piece.owner, (nn.GroupNorm, nn.LayerNorm)):
        return nn.init.constant_(made, float(kind == "weight"))
    if beside == "conv_out":
        return nn.init.zeros_(made)
    bound = 1 / math.sqrt(math.prod(shapes[f"{beside}/weight"][1:]))
    return nn.init.uniform_(made, -bound, bound)
