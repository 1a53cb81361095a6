"""How fast is a network? Measured here by several runtimes, whole and in parts."""
