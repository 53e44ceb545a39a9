"""Define the task of image classification, for meta-architectures with the attribute ``task = "classification"``."""

from seesaw_d2.data.classification.labelled_loaders import (
    build_classification_test_loader,
    build_classification_train_loader,
    load_labelled_records,
)
from seesaw_d2.data.classification.validation import validate_labelled_images
from seesaw_d2.train.tasks.base import Task, check_evaluation

CLASSIFICATION = Task(
    num_classes_key="MODEL.CLASSIFIER.NUM_CLASSES",
    validate_datasets=validate_labelled_images,
    check_model=check_evaluation,
    load_training_records=load_labelled_records,
    build_train_loader=build_classification_train_loader,
    build_test_loader=build_classification_test_loader,
)
