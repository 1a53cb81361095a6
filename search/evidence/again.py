"""`python -m search.evidence.again` is `mdsearch evidence again` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("evidence again")
