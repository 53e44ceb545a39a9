"""Trained models as files that need neither this project nor Detectron2: TorchScript and ONNX (``tools/export.py``)."""

from seesaw_d2.export.exported_model import ExportedModel

from .exporting import Exported, export_model

__all__ = ["Exported", "ExportedModel", "export_model"]
