"""Draw detections and ground truth on images, and charts of sampling."""
