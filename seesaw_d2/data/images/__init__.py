"""Image files: headers, decoding, resizing and mapping to model inputs."""
