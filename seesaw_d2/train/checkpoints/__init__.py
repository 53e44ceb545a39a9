"""Write, select and load the checkpoints of a training."""
