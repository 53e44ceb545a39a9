"""Weights files: reading, conversion from other projects, and edits without training."""
