"""Register, read, check and sample datasets, and map dataset dicts to model inputs."""

from seesaw_d2.data.classification.labelled_loaders import (
    build_classification_test_loader,
    build_classification_train_loader,
    load_labelled_records,
)
from seesaw_d2.data.classification.mapper import ClassificationMapper
from seesaw_d2.data.classification.sources import LabelledImages
from seesaw_d2.data.classification.validation import validate_labelled_images
from seesaw_d2.data.records.annotation_files import AnnotationFile, read_annotations
from seesaw_d2.data.records.catalog import load_dataset
from seesaw_d2.data.records.category_counts import CategoryStatistics
from seesaw_d2.data.records.fractal_dimension import training_fractal_dimensions
from seesaw_d2.data.records.registration import DatasetEntry, provide_names, register_dataset, register_datasets
from seesaw_d2.data.records.statistics import dataset_statistics, training_frequency_groups, training_statistics
from seesaw_d2.data.records.training_records import load_training_dicts
from seesaw_d2.data.records.validation import validate_datasets
from seesaw_d2.data.sampling.class_aware import ClassAwareSampler, ProgressivelyBalancedSampler, SquareRootSampler
from seesaw_d2.data.sampling.lazyconfig_loader import build_repeat_factor_loader
from seesaw_d2.data.sampling.loaders import build_test_loader, build_train_loader
from seesaw_d2.frequency_groups import frequency_groups

__all__ = [
    "AnnotationFile",
    "CategoryStatistics",
    "ClassAwareSampler",
    "ClassificationMapper",
    "DatasetEntry",
    "LabelledImages",
    "ProgressivelyBalancedSampler",
    "SquareRootSampler",
    "build_classification_test_loader",
    "build_classification_train_loader",
    "build_repeat_factor_loader",
    "build_test_loader",
    "build_train_loader",
    "dataset_statistics",
    "frequency_groups",
    "load_dataset",
    "load_labelled_records",
    "load_training_dicts",
    "provide_names",
    "read_annotations",
    "register_dataset",
    "register_datasets",
    "training_fractal_dimensions",
    "training_frequency_groups",
    "training_statistics",
    "validate_datasets",
    "validate_labelled_images",
]
