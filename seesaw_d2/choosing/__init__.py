"""Choose a calibration or a loss for a trained model, with stored proposals and features instead of full trainings."""
