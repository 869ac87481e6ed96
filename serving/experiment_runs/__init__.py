"""Runs of the system for experiments: what is asked for, in simulated time or on a cluster."""
