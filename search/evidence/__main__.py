"""`python -m search.evidence` is `mdsearch evidence` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("evidence")
