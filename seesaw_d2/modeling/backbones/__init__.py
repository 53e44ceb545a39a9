"""Backbones. Importing a module of this folder registers its backbones in Detectron2."""
