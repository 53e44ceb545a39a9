"""Choose a calibration or a loss with a trained model: stored proposals and features, without training the model."""
