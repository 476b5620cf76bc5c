"""Files: read as they stand, written whole or not at all."""
