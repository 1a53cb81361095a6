"""What HPS v2's benchmark prints beside a mean: the deviation of groups of 80."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.metrics.hps import deviation_of_groups, groups_note


def test_the_deviation_is_that_of_the_means_of_groups_in_order() -> None:
    values = 27 + np.random.default_rng(0).standard_normal(800)
    means = [sum(values[start : start + 80]) / 80 for start in range(0, 800, 80)]
    middle = sum(means) / 10
    expected = (sum((mean - middle) ** 2 for mean in means) / 10) ** 0.5
    found = deviation_of_groups(values)
    assert found is not None and found[0] == 10 and found[1] == pytest.approx(expected, rel=1e-12)
    assert groups_note(values) == (f"10 groups of 80: {middle:.4f} +- {expected:.4f}",)


@pytest.mark.parametrize("count", [0, 12, 80, 799])
def test_there_is_none_of_other_groups(count: int) -> None:
    assert deviation_of_groups(np.ones(count)) is None and groups_note(np.ones(count)) == ()
