"""Which candidate next: what a sampler is (base.py), and each of them in a file of its own."""
