"""Drawing of detections and ground truth on images."""
