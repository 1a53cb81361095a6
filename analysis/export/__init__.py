"""How does a network get to where it runs? One file a format; what a format is asked for is a `Component`."""
