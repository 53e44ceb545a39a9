"""Find datasets and images that a config uses for both training and evaluation, or several times for training."""

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from seesaw_d2.compat import loads_lvis_json
from seesaw_d2.data.classification.sources import LabelledImages
from seesaw_d2.data.labelling_tools.related_images import version_of
from seesaw_d2.data.records.catalog import load_dataset
from seesaw_d2.data.records.records import file_names
from seesaw_d2.data.records.registration import DatasetEntry
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.regular_files import open_regular

_CONSEQUENCE = "Metrics on training images are too optimistic"


def trained_and_tested(
    cfg: CfgNode, *, images: bool = True, names: Sequence[str] | None = None, key: str = "DATASETS.TEST"
) -> tuple[str, ...]:
    """Return warnings about datasets and images of DATASETS.TEST that are also in DATASETS.TRAIN.

    This function compares the names and sources of datasets. It also compares the paths of images after it has
    resolved links to folders, and recognizes versions of the same photo by the file names that Roboflow gives them.
    The contents of images are compared only by ``tools/doctor.py``.

    Args:
        cfg: a config whose datasets are registered and checked.
        images: whether to compare the paths of images. If False, the function reads no dataset.
        names: datasets that are compared with DATASETS.TRAIN, instead of those in DATASETS.TEST.
        key: key or option that names these datasets, for the warnings.
    """
    names = cfg.DATASETS.TEST if names is None else names
    sources = {_source(name) for name in cfg.DATASETS.TRAIN}
    both = [name for name in names if _source(name) in sources]
    found = [f"{key}: DATASETS.TRAIN also contains {', '.join(both)}. {_CONSEQUENCE}"] if both else []
    others = [name for name in names if name not in both]
    if not images or not others:
        return tuple(found)
    resolve = functools.cache(os.path.realpath)
    trained = {path for name in cfg.DATASETS.TRAIN for path in _resolved(_images(name), resolve)}
    photos = set(map(version_of, trained)) - {""}
    for name in others:
        paths = list(_resolved(_images(name), resolve))
        shared = [path for path in paths if path in trained]
        versions = [path for path in paths if path not in trained and version_of(path) in photos]
        for images_of, relation in (
            (shared, "are also in DATASETS.TRAIN"),
            (versions, "are versions of photos in DATASETS.TRAIN"),
        ):
            if images_of:
                found.append(
                    f"{key}: {len(images_of)} of {len(paths)} images of {name} {relation}: {first_few(images_of)}. "
                    f"{_CONSEQUENCE}"
                )
    return tuple(found)


def shared_images(first: str, second: str) -> list[str]:
    """Return the paths of the images that two datasets share, sorted. Links to folders are resolved.

    If they share only the annotation file, return the path of this file.
    """
    resolve = functools.cache(os.path.realpath)
    paths = [set(_resolved(file_names(load_dataset(name)), resolve)) for name in (first, second)]
    source = str(vars(MetadataCatalog.get(second)).get("json_file", second))
    return sorted(paths[0] & paths[1]) or [source] * (_source(first) == _source(second))


def trained_twice(cfg: CfgNode) -> tuple[str, ...]:
    """Return a tuple with a warning if DATASETS.TRAIN contains a dataset several times. Otherwise, return ()."""
    counts = Counter(map(_source, cfg.DATASETS.TRAIN))
    names = [name for name in cfg.DATASETS.TRAIN if counts[_source(name)] > 1]
    if not names:
        return ()
    return (
        f"DATASETS.TRAIN: expected datasets with different images, found the same images in the datasets "
        f"{', '.join(names)}. Therefore these images count several times in class counts, category groups and sampling",
    )


def _source(name: str) -> Any:
    """Return a value that is equal for two datasets if both names stand for the same annotation file or images."""
    metadata = vars(MetadataCatalog.get(name))
    entry = metadata.get("entry")
    if isinstance(entry, LabelledImages):
        if entry.source == "NPZ":
            with open_regular(entry.path, "rb") as file:  # the content also identifies copies of the file
                return hashlib.blake2b(file.read()).digest()
        return entry.source, os.path.realpath(entry.path), entry.split, os.path.realpath(entry.images)
    file = metadata.get("json_file")
    return os.path.realpath(file) if file else name


def _images(name: str) -> Iterable[str | None]:
    """Return the paths of the images of a dataset. Return () if a user's own function loads the dataset."""
    function = DatasetCatalog[name]
    entry = getattr(function, "__self__", None)
    if isinstance(entry, LabelledImages):
        return entry.files()
    return file_names(load_dataset(name)) if isinstance(entry, DatasetEntry) or loads_lvis_json(function) else ()


def _resolved(paths: Iterable[str | None], resolve) -> Iterator[str]:
    """Yield the paths after ``resolve``, such as ``os.path.realpath``, has resolved links in the path of the folder.

    Links to files are not resolved, because this would be slow. Paths that are None are skipped.
    """
    for folder, file in (os.path.split(path) for path in paths if path is not None):
        yield os.path.join(resolve(folder), file)
