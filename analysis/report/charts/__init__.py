"""The charts, a file per question; each is a plotly figure, or None where there is nothing to show."""
