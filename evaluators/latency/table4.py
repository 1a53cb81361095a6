"""The paper's Table 4, and rows of ours laid out as it is."""

from __future__ import annotations

from dataclasses import dataclass

from evaluators.latency.timing import Timing

PAPERS_DEVICE = "iPhone 15 Pro"


@dataclass(frozen=True)
class Table4Row:
    """A line: ms of the text encoder, the decoder and one UNet step, steps, and all together.

    `low` and `high` bound the total: the sums of the intervals' ends. None is what was not measured.
    """

    model: str
    device: str
    text: float | None
    decoder: float | None
    unet: float | None
    steps: int
    overall: float | None
    low: float | None = None
    high: float | None = None


# The paper prints 357 ms a step and 20 steps as 7429 in all; its totals are taken as they stand.
PAPERS_ROWS = (
    Table4Row("SD-1.5", PAPERS_DEVICE, 4, 285, 357, 20, 7429),
    Table4Row("SnapFusion", PAPERS_DEVICE, 4, 112, 203, 8, 1740),
    Table4Row("UFOGen", PAPERS_DEVICE, 4, 285, 357, 1, 646),
    Table4Row("MD one-step", PAPERS_DEVICE, 4, 92, 142, 1, 238),
)


def row_of(
    model: str, device: str, text: Timing | None, decoder: Timing | None, unet: Timing | None, steps: int
) -> Table4Row:
    """Guidance would evaluate the UNet twice a step; here, as in the paper, a step is one evaluation."""
    parts = [(text, 1), (decoder, 1), (unet, steps)]
    measured = [(timing, times) for timing, times in parts if timing is not None]
    whole = len(measured) == len(parts)

    def total(at: int) -> float | None:
        return sum(timing.interval[at] * times for timing, times in measured) if whole else None

    return Table4Row(
        model,
        device,
        _median(text),
        _median(decoder),
        _median(unet),
        steps,
        overall=sum(timing.median * times for timing, times in measured) if whole else None,
        low=total(0),
        high=total(1),
    )


def _median(timing: Timing | None) -> float | None:
    return None if timing is None else timing.median
