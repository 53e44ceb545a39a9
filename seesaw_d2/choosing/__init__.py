"""Choices for a trained detector that need no training of the whole model: calibrations from stored proposals."""
