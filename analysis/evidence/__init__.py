"""What recorded runs say: noise, prediction, effects of the paper's decisions, and what stays undecided."""
