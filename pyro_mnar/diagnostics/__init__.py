"""What is wrong with a fitted model and its imputations: findings, predictive checks of masks, ArviZ."""
