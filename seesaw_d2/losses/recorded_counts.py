"""Read class counts that an earlier training recorded (Seesaw Loss paper, Table 4).

The counts are in a JSON file. ``{"class_counts": [[...], ...]}`` contains one list for each cascade stage (one stage in
Mask R-CNN). ``{"class_counts": [...]}`` contains a single list for all stages. A list contains C integers >= 0, or
C + 1 integers with background last. The optional key "categories" contains the names of the C categories. Other keys
are ignored.
"""

import json
from dataclasses import dataclass, field

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.category_names import Categories, entry_of
from seesaw_d2.utils.json_reading import load_json
from seesaw_d2.utils.messages import shortened


@dataclass(frozen=True)
class RecordedCounts:
    """Class counts from a JSON file, with a list for each cascade stage or a single list for all stages.

    Attributes:
        path: path of the file.
        stages: lists of counts, one for each stage or a single one. A list contains C counts for C categories, or C + 1
            counts with background last.
        has_background: whether the lists contain a count of background, or None if unknown.
        categories: names of the categories in the file, or None if the file contains no names.
    """

    path: str
    stages: list[list[int]]
    has_background: bool | None = field(default=None, compare=False)
    categories: Categories | None = None

    def of_stage(self, stage: int, num_stages: int, num_classes: int) -> list[int]:
        """Return the recorded counts for a cascade stage, C values or C + 1 values with background last.

        Args:
            stage: index of the stage, from 0. If the file contains a single list, this list applies to all stages.
            num_stages: number of stages of the model.
            num_classes: number of categories C.

        Raises:
            ConfigError: the number of stages or categories in the file is not ``num_stages`` or ``num_classes``.
        """
        if len(self.stages) not in (1, num_stages):
            expected = "1 list" if num_stages == 1 else f"1 list, or {num_stages} lists for {num_stages} cascade stages"
            raise ConfigError(f'{self.path}: "class_counts": expected {expected}, found {len(self.stages)} lists')
        counts = self.stages[stage if len(self.stages) > 1 else 0]
        if len(counts) not in (num_classes, num_classes + 1):
            raise ConfigError(
                f'{self.path}: "class_counts": expected {num_classes} counts for {num_classes} categories, or '
                f"{num_classes + 1} counts with background, found {len(counts)} counts"
            )
        return counts


def read_recorded_counts(path: str) -> RecordedCounts:
    """Read class counts from a JSON file with the key "class_counts".

    Raises:
        ConfigError: the file cannot be read or has a wrong format.
    """
    try:
        found = load_json(path, 'expected a JSON file with "class_counts"')
    except DataError as error:
        raise ConfigError(str(error)) from None
    stages = found.get("class_counts") if isinstance(found, dict) else None
    if isinstance(stages, list) and stages and not isinstance(stages[0], list):
        stages = [stages]
    if not stages or not isinstance(stages, list) or not all(_is_counts(counts) for counts in stages):
        value = "no such key" if stages is None else shortened(json.dumps(found["class_counts"]), 100)
        raise ConfigError(
            f'{path}: "class_counts": expected a list of integers from 0 to 2^63 - 1, or such a list for each cascade '
            f"stage, found {value}"
        )
    return RecordedCounts(path, stages, categories=entry_of(found, path))


def _is_counts(counts) -> bool:
    return isinstance(counts, list) and bool(counts) and all(type(n) is int and 0 <= n < 2**63 for n in counts)
