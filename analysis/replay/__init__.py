"""Finished runs as a benchmark: strategies against recorded curves, and a check of recorded decisions."""
