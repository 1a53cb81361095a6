"""`python -m search.compare` is `mdsearch compare` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("compare")
