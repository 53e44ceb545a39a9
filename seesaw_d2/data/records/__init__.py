"""Read and check annotation files, register datasets, and create Detectron2's dataset dicts."""
