"""Convert data exported from labelling tools, such as Label Studio, CVAT and Roboflow, to training datasets."""
