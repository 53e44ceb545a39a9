"""Convert the exports of labelling tools, such as Label Studio, CVAT and Roboflow, to data sets."""
