"""Choose a calibration or a loss for a trained model, with stored proposals or features instead of a full training."""
