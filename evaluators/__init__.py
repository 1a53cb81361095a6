"""How good, how large, how fast is it? Scores of images and captions, and independent counts of a network.

This room knows `space` alone: images come as uint8 arrays (N, H, W, 3), captions as text. A score is named
for the features that made it, and travels with its protocol (:mod:`evaluators.protocol`).
"""
