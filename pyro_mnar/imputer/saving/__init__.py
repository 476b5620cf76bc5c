"""Fitted imputers in files: models, and checkpoints of fits that go on."""
