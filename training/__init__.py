"""How does a network learn, and generate images? Data, objectives, the trainer and its state, generation.

This package knows `space` alone: not the evaluators, not the search, not the configuration library. Heavy
libraries (diffusers, transformers, scikit-learn) are imported where they are used, so that the package itself
imports as fast as torch does.
"""
