"""The way of single queries: spans of what a query went through, over all nodes (OpenTelemetry)."""
