"""Run inference with a trained model on images and videos."""
