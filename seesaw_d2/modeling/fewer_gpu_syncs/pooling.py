"""Pool regions from several feature levels with one host-device synchronization."""

import torch
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.structures import Boxes
from torch import Tensor

from seesaw_d2.modeling.fewer_gpu_syncs.indices import read


class BatchedROIPooler(ROIPooler):
    """``ROIPooler`` that counts the boxes of all levels with one host-device synchronization in training."""

    def forward(self, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        plain = bool(box_lists) and all(type(each) is Boxes for each in box_lists)
        if not (self.training and plain):
            return super().forward(x, box_lists)
        boxes = torch.cat(
            [torch.nn.functional.pad(each.tensor, (1, 0), value=image) for image, each in enumerate(box_lists)]
        )
        if len(self.level_poolers) == 1:
            return self.level_poolers[0](x[0], boxes)
        sizes = (self.min_level, self.max_level, self.canonical_box_size, self.canonical_level)
        levels = assign_boxes_to_levels(box_lists, *sizes)
        counts = read([(levels == level).sum() for level in range(len(self.level_poolers))])
        indices = levels.argsort(stable=True).split(counts)
        output = x[0].new_zeros(len(boxes), x[0].shape[1], *self.output_size)
        for index, pooler, features in zip(indices, self.level_poolers, x, strict=True):
            output.index_put_((index,), pooler(features, boxes[index]))
        return output
