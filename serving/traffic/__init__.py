"""Labelled traffic: its schedule, the load generator, measurements, scores and summary."""
