"""Captioned images to learn from: one module for each kind of data set, `factory` for them all."""
