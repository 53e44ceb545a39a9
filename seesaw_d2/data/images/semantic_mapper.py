"""Model inputs for semantic segmentation."""

from typing import Any, ClassVar

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.modeling import META_ARCH_REGISTRY, PanopticFPN, SemanticSegmentor

from seesaw_d2.data.records.semantic import check_values


def has_semantic_head(cfg: CfgNode) -> bool:
    """Return whether MODEL.META_ARCHITECTURE is one of Detectron2's with a semantic segmentation head."""
    name = cfg.MODEL.META_ARCHITECTURE
    found = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return isinstance(found, type) and issubclass(found, (PanopticFPN, SemanticSegmentor))


class SemanticMapper(DatasetMapper):
    """Detectron2's DatasetMapper with a check of the label maps. In evaluation the result contains their path.

    Attributes:
        values: (C, value of ignored pixels).
    """

    values: ClassVar[tuple[int, int]] = (0, 255)

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """
        Raises:
            DataError: a label map has a value that is neither a class nor ignored.
        """
        result = super().__call__(record)
        path, labels = record["sem_seg_file_name"], result["sem_seg"]
        if self.is_train:
            check_values(labels.numpy(), path, *self.values)
        else:  # the evaluator reads the map at its original size
            del result["sem_seg"]
            result["sem_seg_file_name"] = path
        return result
