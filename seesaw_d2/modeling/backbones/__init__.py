"""Backbones. Importing a module of this package registers the backbones of the module in Detectron2's registry."""
