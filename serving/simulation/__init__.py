"""The system on a virtual clock, with the same routing, batching and admission code."""
