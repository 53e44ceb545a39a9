"""Map dataset dicts to model inputs for semantic segmentation."""

from typing import Any, ClassVar

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.modeling import META_ARCH_REGISTRY, PanopticFPN, SemanticSegmentor

from seesaw_d2.data.records.semantic import check_values


def has_semantic_head(cfg: CfgNode) -> bool:
    """Return True if the model of a config predicts semantic segmentation.

    These models are Detectron2's ``SemanticSegmentor`` and ``PanopticFPN``, and their subclasses.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    found = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return isinstance(found, type) and issubclass(found, (PanopticFPN, SemanticSegmentor))


class SemanticMapper(DatasetMapper):
    """Version of Detectron2's ``DatasetMapper`` for images with label maps for semantic segmentation.

    In training, the mapper checks the pixel values of the label map. In evaluation, the mapper returns the path of the
    label map instead of the pixels, because the evaluator reads the label map in the original size.

    Attributes:
        values: a pair of the number of classes, and the pixel value that the loss ignores.
    """

    values: ClassVar[tuple[int, int]] = (0, 255)

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the model inputs of a dataset dict.

        Raises:
            DataError: in training, a pixel value of the label map is neither a class index nor the ignored value.
        """
        result = super().__call__(record)
        path, labels = record["sem_seg_file_name"], result["sem_seg"]
        if self.is_train:
            check_values(labels.numpy(), path, *self.values)
        else:
            del result["sem_seg"]
            result["sem_seg_file_name"] = path
        return result
