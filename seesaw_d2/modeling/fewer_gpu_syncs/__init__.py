"""Train R-CNNs with fewer host-device synchronizations: about once per batch instead of several times per image.

Each function or class of this package replaces code of Detectron2 and returns equal results. Random samples are equal,
too, because the random numbers are the same. Only training uses this package. Inference, tracing and the ROI heads of
other projects run Detectron2's code.
"""
