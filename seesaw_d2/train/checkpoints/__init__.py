"""Checkpoints of a training: writing, choosing and loading them."""
