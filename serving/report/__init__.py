"""The report of a run: what the plan predicted beside what came back, as JSON and as a page."""
