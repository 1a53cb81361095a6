"""`python -m evaluators` is `mdsearch evaluate` until the next release."""

from mdsearch.__main__ import alias

if __name__ == "__main__":
    alias("evaluate")
