"""Draw detections and classifier predictions on images, and charts of how often training samples each category."""
