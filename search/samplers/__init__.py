"""Samplers of libraries and of enumeration; what every sampler is stands in search/sampler.py."""
