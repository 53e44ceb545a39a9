"""Map records to model inputs for semantic segmentation."""

from typing import Any, ClassVar

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.modeling import META_ARCH_REGISTRY, PanopticFPN, SemanticSegmentor

from seesaw_d2.data.records.semantic import check_values


def has_semantic_head(cfg: CfgNode) -> bool:
    """Return whether MODEL.META_ARCHITECTURE is Detectron2's SemanticSegmentor or PanopticFPN, or a subclass."""
    name = cfg.MODEL.META_ARCHITECTURE
    found = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return isinstance(found, type) and issubclass(found, (PanopticFPN, SemanticSegmentor))


class SemanticMapper(DatasetMapper):
    """Detectron2's DatasetMapper that checks label maps in training, and returns only their paths in evaluation.

    Attributes:
        values: (number of classes, value of ignored pixels).
    """

    values: ClassVar[tuple[int, int]] = (0, 255)

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """
        Raises:
            DataError: a pixel of a label map is neither a class nor ignored.
        """
        result = super().__call__(record)
        path, labels = record["sem_seg_file_name"], result["sem_seg"]
        if self.is_train:
            check_values(labels.numpy(), path, *self.values)
        else:  # The evaluator reads the label map itself, because it needs the original size.
            del result["sem_seg"]
            result["sem_seg_file_name"] = path
        return result
