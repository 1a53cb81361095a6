"""`python -m search.sampling_curves` is `mdsearch generate curves` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("generate curves")
