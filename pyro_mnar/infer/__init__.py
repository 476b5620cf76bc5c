"""The bound, its training and ensembles, streams of random numbers. Knows no model."""
