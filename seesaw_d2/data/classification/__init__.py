"""Read, check, map and load data sets for image classification, in which each image has one label."""
