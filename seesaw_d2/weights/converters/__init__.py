"""Convert weights of MMDetection and torchvision for the models of this project."""

from seesaw_d2.weights.converters.mmdet import MmdetModel, convert_mmdet, describe_mmdet
from seesaw_d2.weights.converters.mmdet_file import convert_mmdet_file
from seesaw_d2.weights.converters.torchvision_detector import convert_torchvision_detector, convert_torchvision_file

__all__ = [
    "MmdetModel",
    "convert_mmdet",
    "convert_mmdet_file",
    "convert_torchvision_detector",
    "convert_torchvision_file",
    "describe_mmdet",
]
