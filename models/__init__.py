"""Tasks, data sets, networks, training, the device runtime, and the zoo of trained models."""
