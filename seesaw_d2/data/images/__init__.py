"""Read image headers, decode and resize images, and map images to model inputs."""
