"""How does a candidate learn and draw pictures? Data, text, latents, diffusion and the training loop.

This room knows `space` alone: not the evaluators, not the search, not the configuration library. Heavy
libraries (diffusers, transformers, scikit-learn) are imported where they are used, so that the room itself
imports as fast as torch does.
"""
