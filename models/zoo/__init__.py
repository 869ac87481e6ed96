"""The zoo: cards, checkpoints, and how a model is found by its name."""
