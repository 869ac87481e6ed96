"""How a Ray cluster of a topology's shape is started, found and ended."""
