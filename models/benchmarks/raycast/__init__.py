"""Scenes of textured solids and a numpy ray caster that sees them, shared by benchmarks."""
