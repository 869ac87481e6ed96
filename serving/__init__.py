"""The running system, from a query's first byte to the report of a run, and its simulator."""
