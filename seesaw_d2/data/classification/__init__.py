"""Data sets of labelled images, one label each, for image classification."""
