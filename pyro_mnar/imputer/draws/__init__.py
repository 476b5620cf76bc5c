"""Draws of a fitted imputer, with the weights that a moved column or mechanism gives them."""
