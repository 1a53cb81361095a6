"""What drives a strategy: this process, or Ray Tune's workers."""
