"""One training by several workers: what they agree on, whose gradients are whose, and who starts them."""
