"""Routing as a linear program: its rows, its prices, and the upper bounds that it gives."""
