"""Read weights files, convert weights of other projects, and change classifiers without training."""
