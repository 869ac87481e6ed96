"""Keeping the zoo: checking cards, adding a model of one's own, tables of what is there."""
