"""What evaluation puts right in an annotation file, leaves out of it or ignores: counted, and said once."""

import logging
from dataclasses import dataclass, field

from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)


@dataclass
class GroundTruthNotes:
    """Annotation ids of the file, by what becomes of them."""

    file: AnnotationFile
    area_computed: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    odd_area: list[int] = field(default_factory=list)
    without_mask: list[int] = field(default_factory=list)
    ignore_unread: list[int] = field(default_factory=list)
    lvis_crowds: list[int] = field(default_factory=list)

    @property
    def coco(self) -> bool:
        return self.file.format == "coco"

    def say(self) -> None:
        """Log one line for each kind that occurs."""
        for ids, text in (
            (self.area_computed, '"area" is missing or not positive: evaluation computes it from masks and boxes'),
            (self.left_out, '"area" is not positive: evaluation leaves these objects out, as lvis-api does'),
            (self.odd_area, '"area" does not fit the box (in pixels?): APs, APm and APl follow it all the same'),
            (self.without_mask, "no polygon has 3 points: evaluation of masks ignores what it finds in their boxes"),
            (self.ignore_unread, '"ignore" is not read in COCO\'s format, as in pycocotools: these objects count'),
            (self.lvis_crowds, '"iscrowd" is 1: evaluation ignores these objects, which lvis-api by itself does not'),
        ):
            if ids:
                warn_once(logger, f"{self.file.path}: {text}: {len(ids)} objects, annotation ids {first_few(ids)}")
