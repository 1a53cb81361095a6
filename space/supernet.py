"""One network that holds weights for many architectures: trained once, inherited from by all.

What each architecture takes of them is said in space/slices.py; the forward pass is that of its own `UNet`
(weight sharing as in once-for-all networks, Cai et al., 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from space.architecture import Architecture
from space.kinds.stage import Axis
from space.proxy import Proxy, narrow
from space.shared.plain import InputError
from space.slices import Piece, longer, pieces, taken
from space.subnet import Subnet
from space.unet import UNet


class Supernet(nn.Module):
    """Weights for every architecture between `corners`, narrowed by a proxy; runs the one chosen last.

    Args:
        corners: which together have each parameter at its largest, at the paper's scale: of a space
            (space/corners.py), or one subnet, with the names of whose stages others choose among them.

    Attributes:
        largest: the first of them.
        shared: the parameters.
        chosen: the architecture that runs, at the paper's scale; at first the largest.
    """

    chosen: Architecture
    _chosen: tuple[UNet, list[Piece]]  # in a tuple, its module is none of this one's

    def __init__(self, corners: Sequence[Architecture | Subnet], proxy: Proxy | None = None) -> None:
        super().__init__()
        self.proxy, subnets = proxy or Proxy(), [Subnet.of(corner) for corner in corners]
        self.largest = subnets[0].architecture
        self._axes: dict[str, tuple[Axis, ...]] = {}
        found = {}
        for subnet in subnets:
            for piece in pieces(narrow(subnet.architecture, self.proxy), subnet.units):
                known = self._axes.get(piece.shared, piece.axes)
                self._axes[piece.shared] = tuple(map(longer, known, piece.axes))
                found[piece.shared] = piece
        shapes = {name: [sum(axis.segments) for axis in axes] for name, axes in self._axes.items()}
        self.shared = nn.ParameterDict(
            {name: nn.Parameter(_initial(piece, shapes)) for name, piece in found.items()}
        )
        self.choose(subnets[0])

    def choose(self, network: Architecture | Subnet) -> None:
        """The architecture, at the paper's scale, that `forward` runs from now on.

        Raises:
            InputError: it is not of this space.
        """
        subnet = Subnet.of(network)
        candidate = narrow(subnet.architecture, self.proxy)
        found = list(pieces(candidate, subnet.units))
        for piece in found:
            if not self._holds(piece):
                raise InputError(
                    f"architecture {subnet.architecture.id}: {piece.name} is larger than any of this "
                    "supernet's; allowed: architectures of its space"
                )
        with torch.device("meta"):
            self._chosen = UNet(candidate), found
        self.chosen = subnet.architecture

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
