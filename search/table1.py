"""`python -m search.table1` is `mdsearch table1` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("table1")
