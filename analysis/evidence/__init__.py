"""What recorded runs say: noise, prediction, the worth of the paper's decisions, and what stays undecided."""
