"""Read image headers, decode and resize images, and map them to model inputs."""
