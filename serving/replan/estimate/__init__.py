"""What the live loop knows of the load and of the nodes: estimates with their uncertainty."""
