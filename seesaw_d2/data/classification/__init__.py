"""Read, check, map and load image classification data sets, in which each image has one label."""
