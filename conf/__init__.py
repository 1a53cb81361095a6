"""Which of everything that can be chosen does this run choose? YAML, found as `pkg://conf`."""
