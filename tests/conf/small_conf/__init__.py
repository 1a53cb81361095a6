"""A small config package, for the tests of composition."""
