"""Trained models as files that need neither this project nor Detectron2: TorchScript and ONNX (``tools/export.py``)."""

from .exporting import Exported, export_model
from .running import ExportedModel

__all__ = ["Exported", "ExportedModel", "export_model"]
