"""How fast and how right the samplers are: ``python -m benchmarks.sampling``."""
