"""The figures of the paper, counted anew: Table 1, and the walk from SD-1.5 to MobileDiffusion."""
