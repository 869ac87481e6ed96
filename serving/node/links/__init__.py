"""The links between nodes: frames, messages, pacing, and both ends of a connection."""
