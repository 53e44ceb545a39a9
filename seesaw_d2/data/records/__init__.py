"""Read and check annotation files, register data sets, and create records, which are Detectron2's dataset dicts."""
