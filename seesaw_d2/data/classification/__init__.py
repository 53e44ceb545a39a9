"""Data sets for image classification: images with one label each."""
