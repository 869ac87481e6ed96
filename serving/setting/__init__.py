"""What stays while demand and plans change: hierarchy, models, costs, sizes of queries."""
