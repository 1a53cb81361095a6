"""`python -m training` is `mdsearch train` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("train")
