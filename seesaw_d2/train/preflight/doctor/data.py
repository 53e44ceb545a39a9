"""Examine the annotation files of a training, and the images that they list."""

import os
from collections.abc import Callable

from detectron2.config import CfgNode
from tqdm import tqdm

from seesaw_d2.data.images.decoding_check import Examined, examine_images
from seesaw_d2.data.images.headers import TWICE
from seesaw_d2.data.images.image_files import missing_files, shared_files
from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.data.records.catalog import check_registered, class_names, load_dataset
from seesaw_d2.data.records.records import file_names, object_columns, take
from seesaw_d2.data.records.statistics import dataset_statistics
from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.preflight.trained_and_tested import trained_and_tested, trained_twice
from seesaw_d2.train.tasks import CLASSIFICATION, task_of
from seesaw_d2.utils.messages import collected_warnings, first_few


def examine_data(preflight: Preflight, findings: Findings, *, decode: bool, workers: int) -> None:
    """Report problems of each dataset, such as missing or unreadable images, then run the data checks of a training.

    Args:
        preflight: checks of the training, whose config checks have already run.
        findings: object that prints and collects the problems.
        decode: whether to decode all images. If False, the function reads only the headers of some images.
        workers: >= 1, number of processes that decode images.
    """
    cfg, before = preflight.cfg, len(findings.to_fix)
    register, *checks = preflight.data_checks()
    register()
    for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
        with findings.attempt():
            _examine_dataset(cfg, name, findings, decode=decode, workers=workers)
    if len(findings.to_fix) == before:  # after a problem, these checks would only report it again
        for check in checks:
            check()
        findings.ok("datasets, categories and config are consistent")
        _examine_overlap(cfg, findings, contents=decode)


def _examine_overlap(cfg: CfgNode, findings: Findings, *, contents: bool) -> None:
    """Report images of DATASETS.TEST that are also in DATASETS.TRAIN, and datasets listed twice in DATASETS.TRAIN.

    Args:
        cfg: a config whose datasets are registered.
        findings: object that prints and collects the problems.
        contents: whether to compare not only the paths, but also the contents of image files.
    """
    files = {}
    for key in ("TRAIN", "TEST"):
        paths = dict.fromkeys(path for name in cfg.DATASETS[key] for path in file_names(load_dataset(name)))
        files[key] = [path for path in paths if path is not None and os.path.isfile(path)]
    shared = shared_files(files["TRAIN"], files["TEST"], contents=contents)
    if shared:
        named = first_few(name if name == trained else f"{name} (= {trained})" for name, trained in shared.items())
        findings.note(
            f"{len(shared)} of {len(files['TEST'])} images of DATASETS.TEST are also in DATASETS.TRAIN: {named}. "
            "Metrics on these images say nothing about new images"
        )
    # ``trained_and_tested`` also finds images in NumPy files and versions of the same photo, unlike ``shared_files``.
    for warning in (*trained_twice(cfg), *(() if shared else trained_and_tested(cfg))):
        findings.note(warning)


def _examine_dataset(cfg: CfgNode, name: str, findings: Findings, *, decode: bool, workers: int) -> None:
    check_registered(name, "DATASETS.TRAIN" if name in cfg.DATASETS.TRAIN else "DATASETS.TEST")
    with collected_warnings() as warnings:
        records = load_dataset(name)
    names = class_names(name) or ()
    objects = sum(len(each.image) for each in object_columns(records))
    findings.ok(f"{name}: {len(records)} images, {objects} objects, {len(names)} categories")
    for message in dict.fromkeys(warnings):
        findings.note(message)
    if names and name in cfg.DATASETS.TRAIN:
        counts = dataset_statistics(name, records).image_count
        unused = [category for category, count in zip(names, counts, strict=True) if not count]
        if unused:
            findings.note(f"{name}: categories without a training image: {first_few(unused)}")
    missing = set(missing_files(records))
    report = findings.note if cfg.DATALOADER.SKIP_BAD_IMAGES else findings.fix
    hint = "" if cfg.DATALOADER.SKIP_BAD_IMAGES else ". To skip these images, set DATALOADER.SKIP_BAD_IMAGES True"
    if missing:
        listed = first_few(sorted(missing)) + describe_near(near_files(sorted(missing)))
        report(f"{name}: {len(missing)} of {len(records)} image files are missing: {listed}{hint}")
    there = (position for position, file in enumerate(file_names(records)) if file and file not in missing)
    records = take(records, list(there))
    if not records:
        return
    if not decode:
        findings.note(f"{name}: the images were not decoded (--quick)")
        return
    found = tqdm(
        examine_images(records, workers), total=len(records), unit="image", desc=f"  {name}", leave=False, disable=None
    )
    noted = [image for image in found if image.kind]
    harmless = ("turned", "twice") if task_of(cfg) is CLASSIFICATION else ("turned",)
    wrong = [image for image in noted if image.kind not in harmless]
    _report(wrong, "unreadable", f"{name}: image files that cannot be read", report, hint)
    _report(wrong, "size", f"{name}: image files whose size differs from the annotated width x height", findings.fix)
    if task_of(cfg) is CLASSIFICATION:
        _report(
            wrong,
            "deep",
            f"{name}: images with more than 8 bits per channel, which classifiers do not support",
            findings.fix,
        )
    else:
        _report(
            wrong,
            "deep",
            f"{name}: images with more than 8 bits per channel, whose values above 255 become white",
            findings.note,
        )
        turned = "images that EXIF data rotate or mirror. Check that the annotations fit the rotated or mirrored images"
        _report(noted, "turned", f"{name}: {turned}", findings.note)
        _report(wrong, "twice", f"{name}: TIFF files that EXIF data rotate or mirror. {TWICE}", findings.fix)
    _report(wrong, "several", f"{name}: images with several pages, of which only the first page is used", findings.note)
    if not wrong:
        findings.ok(f"{name}: all {len(records)} images can be decoded and have the annotated size")


def _report(wrong: list[Examined], kind: str, what: str, report: Callable[[str], None], hint: str = "") -> None:
    listed = sorted(f"{image.path} ({image.problem})" for image in wrong if image.kind == kind)
    if listed:
        report(f"{what} ({len(listed)}): {first_few(listed, limit=20)}{hint}")
