"""Figures of models, training, draws and sensitivity."""
