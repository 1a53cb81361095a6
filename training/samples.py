"""`python -m training.samples` is `mdsearch generate samples` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("generate samples")
