"""What drives a strategy: this process, Ray Tune's workers, or a virtual clock."""
