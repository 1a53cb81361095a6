"""How a trained model leaves for the libraries of others, and how theirs become a model of ours."""
