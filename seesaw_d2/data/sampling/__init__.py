"""Samplers, repeat factors and data loaders."""
