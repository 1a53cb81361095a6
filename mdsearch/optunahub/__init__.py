"""What stands in OptunaHub, in the form of its registry: `samplers/<name>` for each package."""
