"""Verify and time the Core ML model that lies beside this file, on a Mac: python verify_on_mac.py

It needs coremltools and numpy alone (pip install coremltools). Status 0: the outputs are those expected, at
a PSNR of 35 dB or more; 1: they are not.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

LEAST_DB = 35.0
RUNS = 20
UNITS = ("CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")


def main() -> int:
    import coremltools as ct

    folder = Path(__file__).parent
    package = next(folder.glob("*.mlpackage"))
    status = 0
    for units in UNITS:
        model = ct.models.MLModel(str(package), compute_units=getattr(ct.ComputeUnit, units))
        description = model.get_spec().description
        inputs = {item.name: _example(folder, item.name) for item in description.input}
        made = model.predict(inputs)
        nearest = min(decibels(made[item.name], _example(folder, item.name)) for item in description.output)
        milliseconds = _median(model, inputs)
        verdict = "as expected" if nearest >= LEAST_DB else f"WRONG, needed {LEAST_DB:g} dB"
        print(f"{units}: PSNR {nearest:.1f} dB, {verdict}; median of {RUNS}: {milliseconds:.2f} ms")
        status = max(status, int(not nearest >= LEAST_DB))
    return status


def decibels(made: np.ndarray, expected: np.ndarray) -> float:
    """PSNR; the peak is the largest value that is expected."""
    wrong = float(np.square(made.astype(np.float64) - expected).mean())
    return float("inf") if wrong == 0 else float(10 * np.log10(np.abs(expected).max() ** 2 / wrong))


def _median(model: Any, inputs: dict[str, np.ndarray]) -> float:
    times = []
    for _ in range(RUNS + 3):
        start = time.perf_counter()
        model.predict(inputs)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[3:])


def _example(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"example_{name}.npy")


if __name__ == "__main__":
    sys.exit(main())
