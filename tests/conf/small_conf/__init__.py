"""A small config package, for the tests of the door."""
