"""Image classification data sets, in which each image has one label: reading, checks, mapper and data loaders."""
