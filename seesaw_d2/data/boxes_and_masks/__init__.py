"""Boxes, polygons and RLE masks of annotation files: checks, areas, and consistency of boxes and masks."""
