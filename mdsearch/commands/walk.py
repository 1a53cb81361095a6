"""`mdsearch walk`: from SD-1.5 to MobileDiffusion, decision after decision."""

from analysis.paper.walk import main as main
