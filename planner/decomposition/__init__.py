"""Certified planning by decomposition: exact client subproblems, one price vector per edge."""
