"""Columns by which a mechanism is identified: shadow variables and instruments."""
