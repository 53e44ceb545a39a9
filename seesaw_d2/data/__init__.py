"""Data sets: reading, checking, registering, counting and loading them."""

from seesaw_d2.data.annotations import AnnotationFile, read_annotations
from seesaw_d2.data.catalog import load_dataset
from seesaw_d2.data.class_aware import ClassAwareSampler
from seesaw_d2.data.loading import build_test_loader, build_train_loader, load_training_dicts
from seesaw_d2.data.registration import DatasetEntry, register_dataset, register_datasets
from seesaw_d2.data.statistics import (
    CategoryStatistics,
    dataset_statistics,
    frequency_groups,
    training_frequency_groups,
    training_statistics,
)
from seesaw_d2.data.validation import validate_datasets

__all__ = [
    "AnnotationFile",
    "CategoryStatistics",
    "ClassAwareSampler",
    "DatasetEntry",
    "build_test_loader",
    "build_train_loader",
    "dataset_statistics",
    "frequency_groups",
    "load_dataset",
    "load_training_dicts",
    "read_annotations",
    "register_dataset",
    "register_datasets",
    "training_frequency_groups",
    "training_statistics",
    "validate_datasets",
]
