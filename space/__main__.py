"""`python -m space` is `mdsearch count` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("count")
