"""The charts, a file a question; each is a plotly figure, or None where there is nothing to show."""
