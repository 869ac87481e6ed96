"""A client node's two doors: the Open Inference Protocol over HTTP and over gRPC."""
