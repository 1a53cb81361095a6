"""A search over the decoders of one encoder: what it chooses, trains and measures."""
