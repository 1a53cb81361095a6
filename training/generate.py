"""`python -m training.generate` is `mdsearch generate` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("generate")
