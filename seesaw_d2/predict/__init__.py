"""Predictions of a trained model on images and videos."""
