"""Generate a synthetic dataset: assign objects to images, draw the images in worker processes, and write the files."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from seesaw_d2.data.synthetic.annotations import to_json, write_split
from seesaw_d2.data.synthetic.chunks import draw_chunk, split_chunks
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.plan import SPLITS, frequency, plan_split, train_image_counts
from seesaw_d2.data.synthetic.semantic import check_semantic, write_classes
from seesaw_d2.errors import DataError
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.utils.atomic_folders import FolderLayout, atomic_folder, read_record
from seesaw_d2.utils.worker_processes import count_workers, worker_map

RECIPE = 1  # Increase this number when a code change alters the data, so that older datasets are not reused.
LAYOUT = FolderLayout(
    record="glyphs.json",
    kind="a glyph dataset",
    contents={"frequencies": {"r": 0, "c": 0, "f": 0}, "images": {"": 0}, "instances": {"": 0}, "megabytes": 0},
    files=re.compile(r"glyphs\.json|annotations/glyphs_\w+\.json|(images|semantic)/(train|val)/\d{12,}\.(jpg|png)"),
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GlyphSummary:
    """Summary of a synthetic dataset that ``make_glyphs`` generated or found, for display to the user.

    Attributes:
        root: folder of the dataset.
        made: True if the dataset was generated now. False if it existed before.
        frequencies: number of categories in each of LVIS's frequency groups "r", "c" and "f".
        images: number of images in each split, "train" and "val".
        instances: number of objects in each split.
        megabytes: total size of the files in units of 10^6 bytes.
        seconds: duration of the call of ``make_glyphs``.
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
    """Generate a synthetic long-tailed dataset, whose objects are drawn characters (glyphs).

    If ``root`` contains a dataset with the same settings, only return its summary. The folder ``root`` contains
    ``annotations/glyphs_{train,val}.json`` in the LVIS v1 format, ``images/{train,val}/*.jpg``, and the settings in
    ``glyphs.json``. For Detectron2's LVIS loader, the image root is ``root/images/``. The same settings and library
    versions give the same bytes with any number of workers. The annotations do not depend on ``images``.

    Args:
        root: folder of the dataset. The folder appears only when all files are complete.
        config: settings of the dataset. If None, use the defaults of ``GlyphConfig``.
        workers: number of worker processes. If None, use one per available core. If 1, draw in this process.
        images: if True, write images and annotations. If False, write only annotations.
        semantic: if True, also write the label maps ``semantic/{train,val}/*.png`` and the class names
            ``annotations/glyphs_semantic_classes.json``. Pixel values are 0 for background, i + 1 for category i, and
            255 for edges of objects, which are ignored.
        overwrite: if True, replace a glyph dataset that was generated with other settings.
        progress: function to call with the number of finished images and the number of all images.

    Raises:
        ConfigError: ``workers`` is not positive, or ``semantic`` is True and label maps cannot represent all
            categories.
        DataError: ``root`` contains files other than a glyph dataset, or ``root`` contains a dataset with other
            settings and ``overwrite`` is False.
    """
    start = time.perf_counter()
    root, config = Path(os.path.realpath(root)), config or GlyphConfig()
    workers = count_workers(workers)
    settings = {"recipe": RECIPE, "images": images, **to_plain(config)}
    if semantic:
        check_semantic(config)
        settings["semantic"] = True
    found = read_record(root, LAYOUT)
    if found is not None:
        # Earlier versions did not store the alphabet and the background, and always used "plain" and "textured".
        before = {"alphabet": "plain", "background": "textured", **found["settings"]}
        differences = _differences(before, settings) + _missing(root, images, semantic)
        if not differences:
            return _summary(root, False, found["contents"], start)
        if not overwrite:
            raise DataError(
                f"root {root}: expected a dataset with the requested settings, found a dataset with these "
                f"differences: {', '.join(differences)}. Set overwrite (--overwrite) to replace the dataset."
            )
    with atomic_folder(root, LAYOUT) as folder:
        contents = _fill(folder, config, workers, images, semantic, progress)
        record = {"settings": settings, "contents": contents}
        (folder / LAYOUT.record).write_text(to_json(record) + "\n", encoding="utf-8")
    return _summary(root, True, contents, start)


def to_plain(config: GlyphConfig) -> dict:
    """Return the settings as a dict of JSON values, with lists instead of tuples, to compare them with a JSON file."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def _differences(found: dict, wanted: dict) -> list[str]:
    """Describe how the settings of an existing dataset differ from the requested settings.

    It is no difference if the dataset contains images, but only annotations are requested.

    Args:
        found: settings of the existing dataset.
        wanted: the requested settings.

    Returns:
        one text per setting, such as "seed is 0 instead of 1".
    """
    return [
        f"{key} is {found.get(key)!r} instead of {value!r}"
        for key, value in wanted.items()
        if found.get(key) != value and not (key == "images" and found.get(key))
    ]


def _missing(root: Path, images: bool, semantic: bool) -> list[str]:
    """Find missing files and folders of an existing dataset. The content of image folders is not checked.

    Args:
        root: folder of the dataset.
        images: if True, the folders of the images are necessary.
        semantic: if True, the folders of the semantic label maps are necessary.

    Returns:
        one text per missing file or folder, such as "images/val is missing".
    """
    parts = [f"annotations/glyphs_{split}.json" for split in SPLITS]
    parts += [f"images/{split}" for split in SPLITS if images]
    parts += [f"semantic/{split}" for split in SPLITS if semantic]
    return [f"{part} is missing" for part in parts if not (root / part).exists()]


def _summary(root: Path, made: bool, contents: dict, start: float) -> GlyphSummary:
    return GlyphSummary(root=root, made=made, seconds=time.perf_counter() - start, **contents)


def _fill(folder: Path, config: GlyphConfig, workers: int, images: bool, semantic: bool, progress) -> dict:
    """Generate the dataset, and write annotations, images and label maps to ``folder``.

    Args:
        folder: empty folder to write to.
        config: settings of the dataset.
        workers: number of worker processes.
        images: if True, write images.
        semantic: if True, write semantic label maps and their class names.
        progress: function to call with the number of finished images and the number of all images, or None.

    Returns:
        the fields "frequencies", "images", "instances" and "megabytes" of ``GlyphSummary``.
    """
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
