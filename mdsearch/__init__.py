"""Find efficient text-to-image networks."""
