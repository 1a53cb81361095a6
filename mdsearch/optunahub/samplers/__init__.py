"""Samplers for OptunaHub, a folder each."""
