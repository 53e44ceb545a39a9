"""Check boxes, polygons and run-length masks of annotation files, compute areas, and compare boxes with masks."""
