"""Training: what can be trained, losses, batches, and runs that resume."""
