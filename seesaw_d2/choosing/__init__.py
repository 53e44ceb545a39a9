"""Choose a calibration or a loss for a trained model from stored proposals and features, without training the model."""
