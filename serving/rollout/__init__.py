"""From the plan in force to the next one, in stages, within every budget."""
