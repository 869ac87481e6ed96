"""Nodes as Ray Serve applications, and how a plan reaches them."""
