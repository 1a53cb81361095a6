"""What may drive a search: each strategy in a file of its own, and what they share."""
