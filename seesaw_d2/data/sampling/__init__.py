"""Sample training images (repeat factors, class-aware sampling) and build data loaders."""
