"""Scores of a model over labelled pictures, through the runtime that serves it."""
