"""The parts of tools/gpu.py: what it needs, what it runs, how it records results, and its table."""
