"""Generate a glyph data set: plan it, draw it in worker processes, and write the folder."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from seesaw_d2.data.synthetic.annotations import to_json, write_split
from seesaw_d2.data.synthetic.chunks import draw_chunk, split_chunks
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.folder import GLYPHS, read_record, whole_folder
from seesaw_d2.data.synthetic.plan import SPLITS, frequency, plan_split, train_image_counts
from seesaw_d2.data.synthetic.semantic import check_semantic, write_classes
from seesaw_d2.errors import DataError
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.utils.worker_processes import count_workers, worker_map

RECIPE = 1  # increase it when the same settings give other data

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GlyphSummary:
    """Summary of the created or existing data set.

    Attributes:
        root: the folder.
        made: True: created now. False: it existed already.
        frequencies: number of categories in each of LVIS's groups "r", "c", "f".
        images, instances: split ("train", "val") -> number.
        megabytes: size on the disk in units of 10^6 bytes.
        seconds: duration of this call.
    """

    root: Path
    made: bool
    frequencies: dict[str, int]
    images: dict[str, int]
    instances: dict[str, int]
    megabytes: float
    seconds: float


def make_glyphs(
    root: str | Path,
    config: GlyphConfig | None = None,
    *,
    workers: int | None = None,
    images: bool = True,
    semantic: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GlyphSummary:
    """Generate the data set at ``root`` unless it already exists.

    It writes ``annotations/glyphs_{train,val}.json`` (LVIS v1), ``images/{train,val}/*.jpg`` (the image root
    of Detectron2's LVIS loader is ``root/images/``) and ``glyphs.json``, the settings. The same settings
    and library versions give the same bytes with any number of workers, and the same annotations with and
    without pictures.

    Args:
        root: folder of the data set. It is created atomically at the end, and not at all after an interruption.
        config: settings of the data set. None: the defaults.
        workers: number of processes that draw. None: one per available core. 1: draw in this process.
        images: False: write only annotations, for benchmarks that do not read images.
        semantic: True: also write semantic label maps, ``semantic/{train,val}/*.png`` (0 is background, i + 1 is
            category i, 255 marks ignored edges of objects), and their classes,
            ``annotations/glyphs_semantic_classes.json``.
        overwrite: whether to replace a data set made with other settings.
        progress: function that is called with the number of finished images and of all images.

    Raises:
        ConfigError: ``workers`` is not positive, or there are more categories than label maps can have.
        DataError: ``root`` has other content, or was made with other settings and ``overwrite`` is False.
    """
    start = time.perf_counter()
    root, config = Path(os.path.realpath(root)), config or GlyphConfig()
    workers = count_workers(workers)
    settings = {"recipe": RECIPE, "images": images, **to_plain(config)}
    if semantic:  # the key exists only for data sets with label maps
        check_semantic(config)
        settings["semantic"] = True
    found = read_record(root, GLYPHS)
    if found is not None:
        # folders of earlier versions do not name these
        before = {"alphabet": "plain", "background": "textured", **found["settings"]}
        differences = _differences(before, settings) + _missing(root, images, semantic)
        if not differences:
            return _summary(root, False, found["contents"], start)
        if not overwrite:
            raise DataError(
                f"root {root}: expected a data set made with these settings, found another "
                f"({', '.join(differences)}); use overwrite (--overwrite) to replace it"
            )
    with whole_folder(root, GLYPHS) as folder:
        contents = _fill(folder, config, workers, images, semantic, progress)
        record = {"settings": settings, "contents": contents}
        (folder / GLYPHS.record).write_text(to_json(record) + "\n", encoding="utf-8")
    return _summary(root, True, contents, start)


def to_plain(config: GlyphConfig) -> dict:
    """Return the settings after a round trip through JSON."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def _differences(found: dict, wanted: dict) -> list[str]:
    """Describe the settings that differ. Additional images are not a difference."""
    return [
        f"{key} is {found.get(key)!r}, not {value!r}"
        for key, value in wanted.items()
        if found.get(key) != value and not (key == "images" and found.get(key))
    ]


def _missing(root: Path, images: bool, semantic: bool) -> list[str]:
    """Describe the missing parts of a data set. Single images are not checked."""
    parts = [f"annotations/glyphs_{split}.json" for split in SPLITS]
    parts += [f"images/{split}" for split in SPLITS if images]
    parts += [f"semantic/{split}" for split in SPLITS if semantic]
    return [f"{part} is missing" for part in parts if not (root / part).exists()]


def _summary(root: Path, made: bool, contents: dict, start: float) -> GlyphSummary:
    return GlyphSummary(root=root, made=made, seconds=time.perf_counter() - start, **contents)


def _fill(folder: Path, config: GlyphConfig, workers: int, images: bool, semantic: bool, progress) -> dict:
    """Write annotations, images and label maps, and return the values of the summary."""
    plans = [plan_split(config, split) for split in SPLITS]
    total, done = sum(plan.num_images for plan in plans), 0
    (folder / "annotations").mkdir()
    if semantic:
        write_classes(folder / "annotations", config)
    with worker_map(workers) as mapped:
        for plan in plans:
            roots = [folder / name if wanted else None for name, wanted in (("images", images), ("semantic", semantic))]
            for root in filter(None, roots):
                (root / plan.split).mkdir(parents=True)
            chunks = _report(mapped(draw_chunk, split_chunks(config, plan, *roots)), done, total, progress)
            path = folder / "annotations" / f"glyphs_{plan.split}.json"
            with path.open("w", encoding="utf-8", newline="\n") as file:
                write_split(file, config, plan, chunks)
            done += plan.num_images
    groups = Counter(frequency(count) for count in train_image_counts(config))
    return {
        "frequencies": {group: groups[group] for group in GROUP_LETTERS},
        "images": {plan.split: plan.num_images for plan in plans},
        "instances": {plan.split: len(plan.categories) for plan in plans},
        "megabytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
    }


def _report(chunks, done: int, total: int, progress: Progress | None) -> Iterator[list[str]]:
    for num_images, texts in chunks:
        yield texts
        done += num_images
        if progress:
            progress(done, total)
