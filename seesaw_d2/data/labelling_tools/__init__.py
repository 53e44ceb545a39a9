"""Data sets exported from labelling tools such as Label Studio, CVAT and Roboflow."""
