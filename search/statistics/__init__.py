"""What do plain curves and scores say: fronts, noise, variance, verdicts? Knows no records."""
