"""What was found? Reports, comparisons, replay, simulation, evidence, and the paper's own tables."""
