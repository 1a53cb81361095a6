"""`mdsearch table1`: Table 1 of the paper, counted anew."""

from analysis.paper.table1 import main as main
