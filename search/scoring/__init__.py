"""What scores a search: the embedded evaluator, or the networks of a protocol on the search's own data."""
