"""A loaded model on a device: encoded pictures or arrays in, answers out."""
