"""What a model costs on a device: latency by batch size, set-up and marginal cost, memory."""
