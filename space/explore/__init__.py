"""A map of a space: how many networks, what share fits a budget, where the published ones lie.

:mod:`~space.explore.grid` prices encodings by the million, :mod:`~space.explore.counting` counts a whole
space exactly, :mod:`~space.explore.fronts` finds its edges, :mod:`~space.explore.survey` samples and looks
around one network.
"""
