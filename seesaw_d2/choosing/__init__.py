"""Choose the calibration of a trained detector from stored proposals, without training."""
