"""Drawing of detections and ground truth on images, and of sampling charts."""
