"""Nodes, tiers, links and budgets, and how a Ray cluster of that shape comes up and down."""
