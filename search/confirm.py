"""`python -m search.confirm` is `mdsearch confirm` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("confirm")
