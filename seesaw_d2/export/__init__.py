"""Export trained models to TorchScript and ONNX files, which run without this package and without Detectron2."""

from seesaw_d2.export.exported_model import ExportedModel
from seesaw_d2.export.exporting import Exported, export_model

__all__ = ["Exported", "ExportedModel", "export_model"]
