"""Margins met: how far a column's missing values must move, their draws, and what that implies."""
