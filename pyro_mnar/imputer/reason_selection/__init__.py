"""Why values are missing, where nobody says: candidates, their short fits, and the choice."""
