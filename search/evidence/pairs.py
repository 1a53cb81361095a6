"""`python -m search.evidence.pairs` is `mdsearch evidence pairs` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("evidence pairs")
