"""`python -m search.replay` is `mdsearch replay` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("replay")
