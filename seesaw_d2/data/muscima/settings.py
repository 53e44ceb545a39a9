"""Settings for preparing MUSCIMA++."""

from dataclasses import dataclass, field

from seesaw_d2.errors import ConfigError

# Composites, whose parts are also symbols, and staves. Their masks cover other symbols or the whole page.
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
    """Selection of the test pages. All other pages are for training.

    Attributes:
        folds: k >= 2. Fold f contains the writers whose number modulo k is f.
        fold: test fold, in [0, k).
        official: True: test on the published test set (``testset-independent``) instead of a fold. Other pages of its
            writers are in neither part.
    """

    folds: int = 5
    fold: int = 0
    official: bool = False

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"--folds: expected at least 2, found {self.folds}")
        if not 0 <= self.fold < self.folds:
            raise ConfigError(f"--fold: expected one of 0 to {self.folds - 1}, found {self.fold}")

    @property
    def name(self) -> str:
        return "official" if self.official else f"fold{self.fold}" + ("" if self.folds == 5 else f"of{self.folds}")


@dataclass(frozen=True)
class CropSettings:
    """Symbol crops for classification.

    Attributes:
        size: side length of a crop in pixels.
        context: ratio of the crop's side to the longer side of the symbol.
    """

    split: Split = field(default_factory=Split)
    left_out: tuple[str, ...] = LEFT_OUT
    size: int = 32
    context: float = 1.3

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1024:
            raise ConfigError(f"--crop-size: expected 1 to 1024 pixels, found {self.size}")
        if not 1 <= self.context <= 100:
            raise ConfigError(f"--context: expected a number from 1 to 100, found {self.context}")


@dataclass(frozen=True)
class TileSettings:
    """Settings of the tiles for detection.

    Attributes:
        scale: in (0, 1], factor by which pages are scaled before they are cut into tiles.
        tile: side length of a tile in pixels of the scaled page.
        overlap: overlap of neighbouring training tiles in pixels. Test tiles do not overlap.
        visible: in (0, 1]. A symbol is annotated in a tile that contains at least this share of its pixels.
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
            raise ConfigError(f"--tile: expected 8 to 10000 pixels, found {self.tile}")
        if not 0 <= self.overlap < self.tile:
            raise ConfigError(
                f"--overlap: expected 0 to {self.tile - 1} pixels, less than a tile, found {self.overlap}"
            )
        if not 0 < self.visible <= 1:
            raise ConfigError(f"--visible: expected a number above 0, at most 1, found {self.visible}")
