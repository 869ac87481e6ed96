"""Files by which others bring a cluster up: Kubernetes with KubeRay, and Ray's cluster launcher."""
