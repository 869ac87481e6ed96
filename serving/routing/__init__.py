"""Which way the next query goes, by the shares of the plan."""
