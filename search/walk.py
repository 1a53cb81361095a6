"""`python -m search.walk` is `mdsearch walk` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("walk")
