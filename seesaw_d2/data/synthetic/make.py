"""Makes a glyph data set: plans it, draws its images in worker processes, writes its folder."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.folder import RECORD, read_record, whole_folder
from seesaw_d2.data.synthetic.layout import lay_out
from seesaw_d2.data.synthetic.picture import draw_picture
from seesaw_d2.data.synthetic.plan import SPLITS, SplitPlan, frequency, plan_split, train_image_counts
from seesaw_d2.data.synthetic.records import annotation_record, image_file, image_id, to_json, write_split
from seesaw_d2.data.synthetic.seeds import generator
from seesaw_d2.errors import ConfigError, DataError

RECIPE = 1  # to be raised when the same settings begin to give other data
JPEG_QUALITY = 90
CHUNK = 32  # images drawn by a worker at a time

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GlyphSummary:
    """What is in the folder.

    Attributes:
        root: the folder.
        made: False where it was there already.
        frequencies: number of categories by LVIS's groups "r", "c", "f".
        images, instances: by split, "train" and "val".
        megabytes: on the disk, in units of 10^6 bytes.
        seconds: it took now.
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
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GlyphSummary:
    """Makes the data set at ``root``, or finds that it is there.

    Writes ``annotations/glyphs_{train,val}.json`` (LVIS v1), ``images/{train,val}/*.jpg`` (the image root
    of Detectron2's LVIS loader is ``root/images/``) and ``glyphs.json``, the settings. The same settings
    and library versions give the same bytes with any number of workers, and the same annotations with and
    without pictures.

    Args:
        root: appears at the end, all at once; nothing is left if the making is interrupted.
        config: the defaults if None.
        workers: processes that draw; None for one for each available core, 1 for this process itself.
        images: False writes annotations only, for benchmarks that read no pictures.
        overwrite: replace a data set made with other settings.
        progress: called with the number of images done and of all.

    Raises:
        ConfigError: ``workers`` is not positive.
        DataError: ``root`` is something else, or was made with other settings and not ``overwrite``.
    """
    start = time.perf_counter()
    root, config = Path(os.path.abspath(root)), config or GlyphConfig()
    workers = _count_workers(workers)
    settings = {"recipe": RECIPE, "images": images, **to_plain(config)}
    found = read_record(root)
    if found is not None:
        difference = _difference(found.get("settings", {}), settings)
        if not difference:
            return _summary(root, False, found["contents"], start)
        if not overwrite:
            raise DataError(f"root {root}: made with other settings ({difference}); overwrite to replace it")
    with whole_folder(root) as folder:
        contents = _fill(folder, config, workers, images, progress)
        record = {"settings": settings, "contents": contents}
        (folder / RECORD).write_text(to_json(record) + "\n", encoding="utf-8")
    return _summary(root, True, contents, start)


def to_plain(config: GlyphConfig) -> dict:
    """The settings as JSON gives them back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def _count_workers(workers: int | None) -> int:
    if workers is None:
        affinity = getattr(os, "sched_getaffinity", None)  # Linux: what a container may use
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"workers: expected a positive integer or None, found {workers!r}")
    return workers


def _difference(found: dict, wanted: dict) -> str:
    """The settings that differ, in words; pictures that nobody asked for are no difference."""
    return ", ".join(
        f"{key} is {found.get(key)!r}, not {value!r}"
        for key, value in wanted.items()
        if found.get(key) != value and not (key == "images" and found.get(key))
    )


def _summary(root: Path, made: bool, contents: dict, start: float) -> GlyphSummary:
    return GlyphSummary(root=root, made=made, seconds=time.perf_counter() - start, **contents)


def _fill(folder: Path, config: GlyphConfig, workers: int, images: bool, progress: Progress | None) -> dict:
    """Writes annotations and pictures; returns what there is, for the summary."""
    plans = [plan_split(config, split) for split in SPLITS]
    total, done = sum(plan.num_images for plan in plans), 0
    (folder / "annotations").mkdir()
    with _mapper(workers) as mapper:
        for plan in plans:
            image_root = None
            if images:
                image_root = folder / "images"
                (image_root / plan.split).mkdir(parents=True)
            chunks = _report(mapper(_draw_chunk, _chunks(config, plan, image_root)), done, total, progress)
            path = folder / "annotations" / f"glyphs_{plan.split}.json"
            with path.open("w", encoding="utf-8", newline="\n") as file:
                write_split(file, config, plan, chunks)
            done += plan.num_images
    groups = Counter(frequency(count) for count in train_image_counts(config))
    return {
        "frequencies": {group: groups[group] for group in "rcf"},
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


@contextmanager
def _mapper(workers: int):
    """A ``map`` over processes, or the built-in one for a single worker; results come in order."""
    if workers == 1:
        yield map
        return
    # A fork starts at once; elsewhere the workers import the package again, torch included.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal: the parent alone decides, and tells it only once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive images of a split; ``first_annotation`` is the number of objects before them."""

    config: GlyphConfig
    split: str
    images: range
    categories: list[np.ndarray]
    first_annotation: int
    image_root: Path | None


def _chunks(config: GlyphConfig, plan: SplitPlan, image_root: Path | None) -> Iterator[_Chunk]:
    for first in range(0, plan.num_images, CHUNK):
        images = range(first, min(first + CHUNK, plan.num_images))
        categories = [plan.of_image(image) for image in images]
        yield _Chunk(config, plan.split, images, categories, int(plan.offsets[first]), image_root)


def _draw_chunk(chunk: _Chunk) -> tuple[int, list[str]]:
    """Draws the pictures; returns the number of images and their annotations as JSON texts."""
    texts = []
    config, split_index = chunk.config, SPLITS.index(chunk.split)
    for image, categories in zip(chunk.images, chunk.categories, strict=True):
        objects = lay_out(categories, config, generator(config, "layout", split_index, image))
        identity = image_id(config, chunk.split, image)
        for placed in objects:
            annotation = annotation_record(chunk.first_annotation + len(texts) + 1, identity, placed)
            texts.append(to_json(annotation))
        if chunk.image_root is not None:
            rng = generator(config, "picture", split_index, image)
            picture = draw_picture(objects, config.image_size, rng)
            path = chunk.image_root / image_file(config, chunk.split, image)
            Image.fromarray(picture).save(path, quality=JPEG_QUALITY)
    return len(chunk.images), texts
