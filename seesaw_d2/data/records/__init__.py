"""Read and check annotation files, register data sets, and create Detectron2's dataset dicts."""
