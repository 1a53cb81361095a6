"""`python -m search.gather` is `mdsearch gather` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("gather")
