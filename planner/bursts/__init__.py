"""Room for what comes at once: windows, links and refuges that are planned with random arrivals."""
