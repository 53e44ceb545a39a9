"""Provide backbones. Importing a module of this package registers its backbones in Detectron2's registry."""
