"""Segments of shared weights, by hand; what an architecture inherits is in test_supernet."""

from __future__ import annotations

from space.kinds.stage import Axis
from space.slices import ranges


def test_segments() -> None:
    assert ranges(Axis((4,)), Axis((6,))) == ((0, 4),)
    assert ranges(Axis((4, 2)), Axis((4, 5))) == ((0, 6),)  # neighbours
    assert ranges(Axis((2, 3)), Axis((4, 5))) == ((0, 2), (4, 3))
    assert ranges(Axis((2, 2)), Axis((2, 2, 2))) == ((0, 4),)  # two heads of three
    assert ranges(Axis((3,), centred=True), Axis((7,), centred=True)) == ((2, 3),)
