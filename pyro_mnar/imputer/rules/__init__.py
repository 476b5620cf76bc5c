"""Draws and points that obey rules, and what a run says of them."""
