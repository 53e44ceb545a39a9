"""Steps of Detectron2's R-CNN training that wait for the device once for all images instead of several times for each.

They compute the same numbers, random numbers included. Inference, tracing and heads of other projects use
Detectron2's own code.
"""
