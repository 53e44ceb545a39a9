"""Draw detections and ground truth on images. Draw charts of sampling."""
