"""Steps of Detectron2's R-CNN training with one host-device synchronization per batch, not several per image.

The results equal Detectron2's, random numbers included. Inference, tracing and heads of other projects use Detectron2's
code.
"""
