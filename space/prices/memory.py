"""What a network needs to hold, in closed form: bytes of weights, and the peak of its activations.

The convention: inference without gradients, one forward pass of `UNet`, operator by operator as PyTorch
runs it without compiling. Counted are the tensors that operators hand back, from the first convolution on,
for as long as the module holds them: skips, the inputs of blocks, and what lives inside a block at its
widest point (`Kind.held`, in space/kinds). Not counted are the inputs, the weights, what an operator
allocates inside itself, and the statistics of norms. Softmax attention holds no matrix of scores (a fused
kernel), relu attention does. `tests/space/prices/test_memory.py` holds every rule against the measured life
of real tensors.
"""

from __future__ import annotations

from functools import lru_cache

from space.architecture import Architecture
from space.kinds.rules import Cost
from space.kinds.stage import Stage
from space.kinds.table import CONV_BLOCKS, kind_of
from space.shared.plain import InputError, entry_of
from space.stages import STACK, stages

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


def weight_bytes(cost: Cost, precision: str = "fp32") -> int:
    """Bytes of the parameters; int8 leaves out its scales. Raises InputError for an unknown precision."""
    return cost.parameters * entry_of(BYTES, precision, "precision")


def peak_activation_bytes(a: Architecture, precision: str = "fp32", batch: int = 1) -> int:
    """The most bytes of activations alive at once while `batch` images pass through the network.

    Raises:
        InputError: an unknown precision, or a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch: {batch} is not possible; allowed: 1 or more")
    return batch * _peak_elements(a, in_batch=batch > 1) * entry_of(BYTES, precision, "precision")


def _peak_elements(a: Architecture, in_batch: bool) -> int:
    """Of one image. The embedded time lives throughout."""
    embedding, *rest = stages(a)
    pass_ = _Pass(in_batch)
    for stage in rest:
        if stage.where != "embeddings":  # over before the first convolution
            pass_.run(stage)
    return embedding.outputs + pass_.peak


@lru_cache(maxsize=65_536)
def _held(stage: Stage, in_batch: bool) -> int:
    kind = kind_of(stage)
    return ((in_batch and kind.held_in_batch) or kind.held)(stage)


class _Pass:
    """A forward pass, stage by stage: which maps are alive, in elements of one image.

    Attributes:
        in_batch: whether the image has others beside it.
        current: the map that the next stage takes.
        own: whether that is a tensor of its own; as the last skip it lives with the skips.
        skipped: the skips not yet taken, together.
        entry: the map that the present level of the way up was entered with, held until the level is done.
        outside: what lives while the present unit runs, its input included.
        inside: what the present unit holds beside the input of its next stage.
    """

    def __init__(self, in_batch: bool) -> None:
        self.in_batch = in_batch
        self.peak = self.current = self.skipped = self.entry = self.outside = self.inside = 0
        self.own, self.where = False, ""
        self.skips: list[int] = []

    def run(self, stage: Stage) -> None:
        alive = self.skipped + (self.current if self.own else 0)
        pixels = stage.pixels
        match stage.kind:
            case kind if kind in CONV_BLOCKS:
                alive = self.outside = self._joined(stage) if stage.skip == "pop" else alive
                self.inside = 0
            case kind if kind in STACK:
                alive = self.outside + self.inside + self.current
                if stage.kind == "project in":
                    self.inside = 2 * self.current  # the stack's input, and that input normed
                else:
                    self.inside = self.inside or self.current
            case "upsample":
                alive += self.entry
                pixels *= 4
            case "downsample":
                pixels //= 4
            case "conv in" | "conv out":
                pass
            case _:
                raise AssertionError(f"{stage.kind}: what lives beside this kind is not written down")
        self.peak = max(self.peak, alive + _held(stage, self.in_batch))
        self.current, self.own = stage.outputs * pixels, True
        if stage.skip == "push":
            self.skips.append(self.current)
            self.skipped += self.current
            self.own = False

    def _joined(self, stage: Stage) -> int:
        """Take a skip; what lives while a unit of the way up runs: the level's input, the current map, both
        joined. While they are joined, the skip lives too."""
        earlier = self.entry
        if stage.where != self.where:
            self.where, self.entry, earlier = stage.where, self.current, 0
        skip = self.skips.pop()
        self.skipped -= skip
        joined = self.current + skip
        own = self.current if self.own else 0
        self.peak = max(self.peak, earlier + self.skipped + skip + own + joined)
        return earlier + self.skipped + self.current + joined
