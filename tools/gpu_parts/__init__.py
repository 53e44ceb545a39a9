"""Implement tools/gpu.py: check the requirements, run the parts, and format the table of results."""
