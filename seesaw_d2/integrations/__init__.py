"""Use the losses of this package in other frameworks: torchvision, transformers, DETR-like models, timm."""
