"""Weights that others trained, under this project's names."""

from seesaw_d2.conversion.mmdet import MmdetModel, convert_mmdet, convert_mmdet_file, describe_mmdet
from seesaw_d2.conversion.torchvision_detector import convert_torchvision_detector, convert_torchvision_file

__all__ = [
    "MmdetModel",
    "convert_mmdet",
    "convert_mmdet_file",
    "convert_torchvision_detector",
    "convert_torchvision_file",
    "describe_mmdet",
]
