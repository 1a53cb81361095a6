"""A stage of a network, and what has to be known of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from space.kinds.rules import Cost

if TYPE_CHECKING:
    from torch import nn

ConvKind = Literal["full", "separable"]
ImageConvKind = Literal["full", "separable", "plain"]
Activation = Literal["swish", "gelu"]
AttentionKind = Literal["softmax", "relu"]
Projection = Literal["none", "conv", "linear"]


class NoOptions(NamedTuple):
    """Of a kind that its widths and its size say everything about."""


NONE = NoOptions()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a forward pass. Stages that do equal work are equal, wherever they stand.

    `size` is the height and width, in latent pixels, of the map that goes in; `options` are those of its
    kind (space/kinds/table.py). `skip` says what becomes of skip connections: "push" leaves the stage's
    result as one, "pop" joins the last one left to the input, whose channels `inputs` counts in.
    """

    kind: str
    inputs: int
    outputs: int
    size: int
    options: Any = NONE
    where: str = field(default="", compare=False)  # "in", "down-2", "middle", "up-1", ...
    skip: Literal["none", "push", "pop"] = field(default="none", compare=False)

    @property
    def pixels(self) -> int:
        """Of the map that goes in."""
        return self.size * self.size


class Axis(NamedTuple):
    """A dimension of a weight that is a slice of a larger one: the lengths of its segments, each the first
    part of the larger's, or, if centred, its middle."""

    segments: tuple[int, ...]
    centred: bool = False


WeightAxes = Mapping[str, tuple[Axis, ...]]
"""By the name of a module within a stage: the first axes of its weight. A bias has the first; further ones
are the same for all candidates."""


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of stage.

    `cost` counts parameters and MACs of one image. `held` counts, in elements of one image, the most that
    lives beside the stage's input while it runs (its result included); `held_in_batch` the same where an
    image has others beside it, if that is more. `build` makes the module; a norm that stands in front of a
    projection or of the last convolution belongs to what surrounds it. `axes` says, given the axis of its
    input, what its weights are of those that candidates share (`space/slices.py`). `options` names, with the
    fields of `Architecture`, what the kind depends on beside widths and size.
    """

    label: str
    cost: Callable[[Stage], Cost]
    held: Callable[[Stage], int]
    build: Callable[[Stage], nn.Module]
    axes: Callable[[Stage, Axis], WeightAxes]
    options: Any = NoOptions
    held_in_batch: Callable[[Stage], int] | None = None


def one_product(stage: Stage, inputs: Axis) -> WeightAxes:
    """A convolution or a linear layer, itself or as `conv`."""
    return dict.fromkeys(("", "conv"), (Axis((stage.outputs,)), inputs))
