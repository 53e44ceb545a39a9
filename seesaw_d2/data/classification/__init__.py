"""Image classification datasets, in which each image has one label: reading, checks, mapper and data loaders."""
