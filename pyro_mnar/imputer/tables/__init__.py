"""Tables as an imputer is given them, what is known of their cells, and values far outside training."""
