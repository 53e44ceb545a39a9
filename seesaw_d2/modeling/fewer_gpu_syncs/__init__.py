"""Parts of R-CNN training that synchronize host and device once per batch instead of several times per image.

Each function or class replaces code of Detectron2 and returns equal results, also for random samples. Only training
uses this package. Inference, tracing and the ROI heads of other projects run Detectron2's code.
"""
