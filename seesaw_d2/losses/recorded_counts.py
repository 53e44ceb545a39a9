"""Class counts that one training recorded, for another to start from (Seesaw Loss paper, Table 4).

The file is JSON: ``{"class_counts": [[...], ...], ...}``, a list for each stage (one for Mask R-CNN), or the one list
itself; each of C or, with background last, C + 1 integers >= 0. "categories" may have the C class names in their order.
Other keys are for people.
"""

import json
from dataclasses import dataclass, field

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.categories import Categories, entry_of
from seesaw_d2.utils.regular_files import irregular


@dataclass(frozen=True)
class RecordedCounts:
    """The counts in a file, a list for each stage; ``build_loss`` takes those of its stage."""

    path: str
    stages: list[list[int]]
    # whether the last count of each stage is background's; None: not known
    has_background: bool | None = field(default=None, compare=False)
    categories: Categories | None = None

    def of_stage(self, stage: int, num_stages: int, num_classes: int) -> list[int]:
        """The counts of one stage; a file with one list serves every stage.

        Raises:
            ConfigError: it has counts of other stages or another number of categories.
        """
        if len(self.stages) not in (1, num_stages):
            expected = "1" if num_stages == 1 else f"1 or {num_stages}"
            raise ConfigError(f"{self.path}: expected the class counts of {expected} stages, found {len(self.stages)}")
        counts = self.stages[stage if len(self.stages) > 1 else 0]
        if len(counts) not in (num_classes, num_classes + 1):
            raise ConfigError(
                f"{self.path}: expected the counts of {num_classes} categories, or {num_classes + 1} with background, "
                f"found {len(counts)}"
            )
        return counts


def read_recorded_counts(path: str) -> RecordedCounts:
    """Read a file of counts.

    Raises:
        ConfigError: it cannot be read or holds something else.
    """
    if irregular(path):
        raise ConfigError(f"{path}: expected a JSON file, found {irregular(path)}")
    try:
        with open(path) as file:
            found = json.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a JSON file: {error}") from error
    stages = found.get("class_counts") if isinstance(found, dict) else None
    if isinstance(stages, list) and stages and not isinstance(stages[0], list):
        stages = [stages]
    if not stages or not isinstance(stages, list) or not all(_is_counts(counts) for counts in stages):
        raise ConfigError(f'{path}: expected "class_counts", a list of integers >= 0 or such a list for each stage')
    return RecordedCounts(path, stages, categories=entry_of(found, path))


def _is_counts(counts) -> bool:
    return isinstance(counts, list) and bool(counts) and all(type(n) is int and 0 <= n < 2**63 for n in counts)
