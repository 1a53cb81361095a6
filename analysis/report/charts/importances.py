"""How much of the scores' variance each choice explains."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from analysis.importances import Importances
from analysis.report.charts.marks import COLOUR_OF, bound, titled

MOST_CHOICES_PLOTTED = 14
SERIES = ("complete", "other", "halted", "winner", "failed")  # the colour of each objective


def importance_bars(found: Importances) -> go.Figure:
    """The largest shares first, FID beside CLIP, each with the line that chance reaches."""
    names = found.choices[:MOST_CHOICES_PLOTTED][::-1]
    traces, shapes = [], []
    for place, (title, shares) in reversed(list(enumerate(found.shares.items()))):
        colour = COLOUR_OF[SERIES[place % len(SERIES)]]
        traces.append(
            go.Bar(
                orientation="h",
                name=title,
                y=[escape(name.replace("_", " ").replace(".", " · ")) for name in names],
                x=[shares[name] for name in names],
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.0%} of the variance of " + title + "<extra></extra>",
            )
        )
        shapes.append(bound({"color": colour, "width": 1.5, "dash": "dot"}, x=found.chance[title]))
    layout = go.Layout(
        barmode="group",
        height=110 + 30 * len(names),
        xaxis=titled("share of the variance explained", tickformat=".0%"),
        yaxis={"automargin": True},
        legend={"traceorder": "reversed"},
        shapes=shapes,
    )
    return go.Figure(traces, layout)
