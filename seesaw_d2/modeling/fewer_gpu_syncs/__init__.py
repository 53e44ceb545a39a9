"""Reimplement steps of Detectron2's R-CNN training with one host-device synchronization per batch.

Detectron2's code synchronizes several times per image. The results are equal, including random numbers. Inference,
tracing and heads of other projects use Detectron2's code.
"""
