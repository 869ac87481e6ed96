"""What a node counts, in Prometheus form, and how Prometheus and Grafana find it."""
