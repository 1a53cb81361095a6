"""What training minimises: `base` says what an objective is, each objective stands in a file of its own."""
