"""Older names of commands; they go with the next release."""
