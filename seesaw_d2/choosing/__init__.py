"""Choose a calibration or a loss for a trained model from its stored proposals or features, without a full training."""
