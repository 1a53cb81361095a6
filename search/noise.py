"""`python -m search.noise` is `mdsearch noise` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("noise")
