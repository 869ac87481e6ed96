"""The live loop: the load that is seen, whether a new plan is worth it, and the change."""
