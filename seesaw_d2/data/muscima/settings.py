"""Settings for the conversion of MUSCIMA++ (handwritten music notation) to detection and classification datasets."""

from dataclasses import dataclass, field

from seesaw_d2.errors import ConfigError

# Symbols of these classes are not annotated by default, because their masks cover other symbols or the whole page.
LEFT_OUT = (
    "keySignature",
    "measureSeparator",
    "staff",
    "staffGrouping",
    "staffLine",
    "staffSpace",
    "timeSignature",
)


@dataclass(frozen=True)
class Split:
    """Split of the pages into training and test pages. No writer has both training and test pages.

    Attributes:
        folds: number of folds k for cross-validation, at least 2. Fold f contains the pages of all writers whose number
            modulo k is f.
        fold: index of the fold with the test pages, in [0, k). The other folds contain the training pages.
        official: if True, ignore the folds. The test pages are then the published test set ``testset-independent``, and
            the training pages are the pages of all other writers.
    """

    folds: int = 5
    fold: int = 0
    official: bool = False

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"--folds: expected at least 2 folds, found {self.folds}")
        if not 0 <= self.fold < self.folds:
            raise ConfigError(
                f"--fold: expected a number from 0 to {self.folds - 1}, found {self.fold}. The number of folds "
                f"(--folds) is {self.folds}."
            )

    @property
    def name(self) -> str:
        return "official" if self.official else f"fold{self.fold}" + ("" if self.folds == 5 else f"of{self.folds}")


@dataclass(frozen=True)
class CropSettings:
    """Settings of the symbol crops for classification.

    Attributes:
        split: split into training and test pages.
        left_out: classes whose symbols are not cropped.
        size: side length of a crop in pixels, from 1 to 1024.
        context: side of the cropped square as a multiple of the longer side of the symbol's box, from 1 to 100.
    """

    split: Split = field(default_factory=Split)
    left_out: tuple[str, ...] = LEFT_OUT
    size: int = 32
    context: float = 1.3

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1024:
            raise ConfigError(f"--crop-size: expected a number of pixels from 1 to 1024, found {self.size}")
        if not 1 <= self.context <= 100:
            raise ConfigError(f"--context: expected a number from 1 to 100, found {self.context}")


@dataclass(frozen=True)
class TileSettings:
    """Settings of the tiles for detection.

    Attributes:
        split: split into training and test pages.
        left_out: classes whose symbols appear in the images but are not annotated.
        scale: factor by which the pages are scaled before they are cut into tiles, from 0.01 to 1.
        tile: side length of a tile in pixels of the scaled page, from 8 to 10,000.
        overlap: overlap of adjacent training tiles in pixels, less than ``tile``. Test tiles do not overlap.
        visible: smallest visible fraction of a symbol in (0, 1]. A symbol is not annotated in a tile that contains less
            than this fraction of the symbol's pixels.
    """

    split: Split = field(default_factory=Split)
    left_out: tuple[str, ...] = LEFT_OUT
    scale: float = 0.5
    tile: int = 256
    overlap: int = 64
    visible: float = 0.3

    def __post_init__(self) -> None:
        if not 0.01 <= self.scale <= 1:
            raise ConfigError(f"--scale: expected a number from 0.01 to 1, found {self.scale}")
        if not 8 <= self.tile <= 10_000:
            raise ConfigError(f"--tile: expected a number of pixels from 8 to 10000, found {self.tile}")
        if not 0 <= self.overlap < self.tile:
            raise ConfigError(
                f"--overlap: expected a number of pixels from 0 to {self.tile - 1}, found {self.overlap}. The side of "
                f"a tile (--tile) has {self.tile} pixels."
            )
        if not 0 < self.visible <= 1:
            raise ConfigError(f"--visible: expected a fraction above 0 and at most 1, found {self.visible}")
