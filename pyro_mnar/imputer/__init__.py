"""``MNARImputer``: from a user's table to completed ones, and what is known, decided and doubted on the way."""
