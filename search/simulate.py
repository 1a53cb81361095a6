"""`python -m search.simulate` is `mdsearch simulate` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("simulate")
