"""Implement tools/gpu.py: requirements, parts, results and table."""
