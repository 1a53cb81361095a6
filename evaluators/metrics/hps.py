"""HPS v2: which image of a prompt people would prefer (Wu et al., 2023), as its benchmark prints it.

100 times the cosine of an image and its prompt by a CLIP that learned from choices of people; v2.0 and v2.1
are two such networks, whose scores do not compare. The benchmark gives a mean for each style of prompts,
and, beside it, how much the means of its groups of 80 prompts deviate.
"""

from __future__ import annotations

import numpy as np

HPS_SCALE = 100.0
GROUP_PROMPTS = 80


def deviation_of_groups(values: np.ndarray) -> tuple[int, float] | None:
    """How many groups of 80 the (N,) values make, in their order, and the standard deviation of the groups'
    means (of a population, as in the benchmark's code); None where the groups are not whole, or one."""
    if len(values) % GROUP_PROMPTS or len(values) < 2 * GROUP_PROMPTS:
        return None
    means = values.reshape(-1, GROUP_PROMPTS).mean(axis=1)
    return len(means), float(means.std())


def groups_note(values: np.ndarray) -> tuple[str, ...]:
    """The deviation beside a score, where there is one."""
    found = deviation_of_groups(values)
    if found is None:
        return ()
    groups, deviation = found
    return (f"{groups} groups of {GROUP_PROMPTS}: {values.mean():.4f} +- {deviation:.4f}",)
