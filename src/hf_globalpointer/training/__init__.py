"""Training with the Trainer of Transformers, or without it."""
