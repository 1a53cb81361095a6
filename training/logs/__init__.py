"""What does a training tell those who watch it? TensorBoard's files always; MLflow and W&B by those."""
