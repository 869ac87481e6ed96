"""The mathematics: problem, policies, bounds, evaluation. It imports neither Ray nor torch."""
