"""How the plots of networks by parameters and MACs look, here and in the docs."""

from __future__ import annotations

from typing import Any

PLOT_ENDINGS = (".png", ".svg", ".pdf")  # what a plot's file may end in
INK, QUIET = "#1f2933", "#6b7785"
OWN_COLOUR, OTHER_COLOUR = "#d9541e", "#2f6690"  # the MobileDiffusion family stands out
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "mdsearch",
}
