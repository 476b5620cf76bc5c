"""What is fitted, as plain data, and its training. Knows no table and no imputer."""
