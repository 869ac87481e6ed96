"""One device of a node: admission, queues, batches, and the thread that runs them."""
