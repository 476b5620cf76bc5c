"""Scales of columns of which only a part is seen: cut by the mechanism, or by limits."""
