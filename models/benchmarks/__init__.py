"""The benchmarks: pictures with labels, rendered or read from disk."""
