"""Boxes, polygons and run lengths of annotation files: checks, areas, and whether boxes and masks agree."""
