"""Run inference with a trained model in batches, in full or half precision."""

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import Tensor, nn

from seesaw_d2.config.device import replace_auto_device
from seesaw_d2.data.classification.mapper import ClassificationMapper
from seesaw_d2.data.images.resizing import build_resizing
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.preflight.categories import categories_at_hand, check_calibration_counts
from seesaw_d2.train.preflight.start_weights import check_trained
from seesaw_d2.train.tasks import CLASSIFICATION, SEGMENTATION, task_of
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.messages import shown

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_LOOKAHEAD = 4  # reads at most this many batches ahead, to find images of the same padded size


class BatchPredictor:
    """Detect objects in images, in batches. The detections do not depend on the batch size.

    Detectron2 pads all images of a batch to a common size. The additional padding of smaller images would change their
    features and detections. Therefore, a batch contains only images with the same padded size. Batches of several
    images are faster only if most images have the same size, like video frames.

    Args:
        cfg: config of a detector with MODEL.WEIGHTS. Weights that do not match the model raise an error.
        batch_size: maximum number of images in a batch, >= 1.
        dtype: autocast dtype of the layers, "float32", "bfloat16" or "float16". Weights, box decoding, NMS and mask
            pasting always use float32, because bfloat16 is too coarse for coordinates.

    Attributes:
        class_names: class names from the checkpoint or, if the checkpoint contains no names, from the datasets of the
            config. Unknown names are replaced by "category 0", "category 1", ....
        unknown_data: reason why the class names are unknown, or "" if they are known.

    Raises:
        ConfigError: a value is out of range, or the config is not for a trained detector of BGR or RGB images.
        WeightsError: the weights do not match the model, or have another category order than the datasets.
    """

    def __init__(self, cfg: CfgNode, batch_size: int = 1, dtype: str = "float32"):
        check_batch_options(batch_size, dtype)
        check_channels(cfg)
        check_trained(cfg, "Set MODEL.WEIGHTS")
        if task_of(cfg) in (CLASSIFICATION, SEGMENTATION):
            kind = "an image classifier" if task_of(cfg) is CLASSIFICATION else "a model for semantic segmentation"
            raise ConfigError(
                f"MODEL.META_ARCHITECTURE: expected a detector, found {kind} ({cfg.MODEL.META_ARCHITECTURE})"
            )
        if cfg.TEST.AUG.ENABLED:
            logging.getLogger(__name__).warning("TEST.AUG.ENABLED has no effect on predictions, only on evaluations")
        self.cfg, self.batch_size, self.dtype = cfg, batch_size, DTYPES[dtype]
        self.model, self.class_names, self.unknown_data = load_predictor(cfg, _check_detector)

    def __call__(self, images: Iterable[np.ndarray]) -> Iterator[Instances]:
        """Yield the detections of each image, in the order of ``images``.

        The detections are on the CPU, and their coordinates are pixels of the input image.

        Args:
            images: images, each uint8 (height, width, 3) BGR. This method reads at most 4 batches of images ahead.
        """
        waiting: dict[int, tuple[Tensor, tuple[int, int]]] = {}  # image index: (resized image, input size)
        done: dict[int, Instances] = {}
        given = 0
        for index, image in enumerate(images):
            waiting[index] = torch.from_numpy(prepare(self.cfg, image)), image.shape[:2]
            same = [other for other in waiting if self._padded(waiting[other]) == self._padded(waiting[index])]
            if len(same) == self.batch_size:
                self._run(same, waiting, done)
            if given in waiting and len(waiting) + len(done) >= _LOOKAHEAD * self.batch_size:
                self._run_first(waiting, done)
            while given in done:
                yield done.pop(given)
                given += 1
        while waiting:
            self._run_first(waiting, done)
        for index in sorted(done):
            yield done[index]

    @torch.no_grad()
    def predict(self, images: list[Tensor], sizes: list[tuple[int, int]]) -> list[Instances]:
        """Return the detections of each image of a batch. Boxes are on the CPU, in pixels of the input image.

        Args:
            images: resized images, (3, height, width) each.
            sizes: (height, width) of each input image.
        """
        half = torch.autocast(self.model.device.type, self.dtype, enabled=self.dtype != torch.float32)
        found = _detect(self.model, [{"image": image} for image in images], half)
        for each in found:
            for name, value in each.get_fields().items():
                if isinstance(value, Tensor) and value.is_floating_point():
                    each.set(name, value.float())
        return [detector_postprocess(each, *size).to("cpu") for each, size in zip(found, sizes, strict=True)]

    def _padded(self, item) -> tuple[int, int]:
        """Return the padded (height, width) of the resized image ``item[0]``, in multiples of ``size_divisibility``."""
        step = max(self.model.backbone.size_divisibility, 1)
        height, width = item[0].shape[1:]
        return -(-height // step), -(-width // step)

    def _run_first(self, waiting, done) -> None:
        """Run the model on the first image in ``waiting``, and on all others with the same padded size.

        Remove these images from the dict ``waiting``, and add their detections to the dict ``done``.
        """
        first = self._padded(next(iter(waiting.values())))
        self._run([index for index, item in waiting.items() if self._padded(item) == first], waiting, done)

    def _run(self, indices, waiting, done) -> None:
        images, sizes = zip(*map(waiting.pop, indices), strict=True)
        done.update(zip(indices, self.predict(list(images), list(sizes)), strict=True))


def _check_detector(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ConfigError if the model is not a detector that ``BatchPredictor`` supports."""
    if not isinstance(model, (GeneralizedRCNN, DenseDetector)):
        raise ConfigError(
            "MODEL.META_ARCHITECTURE: expected a detector, such as GeneralizedRCNN, PanopticFPN, RetinaNet, FCOS or a "
            f"subclass, found {cfg.MODEL.META_ARCHITECTURE}"
        )
    if isinstance(model, GeneralizedRCNN) and model.proposal_generator is None:
        raise ConfigError(
            "MODEL.PROPOSAL_GENERATOR.NAME: expected a module that computes proposals of an image, such as RPN, found "
            f"{cfg.MODEL.PROPOSAL_GENERATOR.NAME}"
        )


def check_channels(cfg: CfgNode) -> None:
    """Raise ConfigError if INPUT.FORMAT is neither BGR nor RGB, or if ``add_seesaw_config`` was not called."""
    added_value(cfg, "INPUT.RESIZE")
    if cfg.INPUT.FORMAT not in ("BGR", "RGB"):
        raise ConfigError(
            f"INPUT.FORMAT: expected BGR or RGB, found {cfg.INPUT.FORMAT}. Prediction and export support no other value"
        )


def _detect(model: nn.Module, inputs: list[dict[str, Tensor]], half: torch.autocast) -> list[Instances]:
    """Return the detections of a batch in pixels of the resized images. ``half`` is the layers' autocast context."""
    if not isinstance(model, DenseDetector):
        with half:
            found = model.inference(inputs, do_postprocess=False)
        return found[0] if isinstance(found, tuple) else found  # PanopticFPN also returns semantic segmentations
    with half:
        images = model.preprocess_image(inputs)
        maps = model.backbone(images.tensor)
        features = [maps[name] for name in model.head_in_features]
        predictions = model.head(features)
    # Convert the predictions to float32. Otherwise FCOS would decode boxes in half precision, in which large
    # coordinates are rounded to whole pixels or more.
    return model.forward_inference(images, features, [[level.float() for level in each] for each in predictions])


def check_batch_options(batch_size: int, dtype: str) -> None:
    """Raise ConfigError if the batch size is not an integer >= 1 or the dtype is unknown."""
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ConfigError(f"--batch-size: expected an integer >= 1, found {batch_size!r}")
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype: expected one of {', '.join(DTYPES)}, found {dtype!r}")


def load_predictor(
    cfg: CfgNode, check: Callable[[CfgNode, nn.Module], None] | None = None
) -> tuple[nn.Module, list[str], str]:
    """Build the model of a config in evaluation mode and load MODEL.WEIGHTS.

    Args:
        cfg: the config. This function does not modify it. ``MODEL.DEVICE: auto`` selects a GPU if a GPU is available.
        check: callable to call with ``cfg`` and the model before the weights are loaded.

    Returns:
        the model, its class names, and the reason why the names are unknown, or "" if they are known. Unknown names are
        replaced by "category 0", "category 1", ....

    Raises:
        ConfigError: the category orders of the training set, the test set and the calibration's file of class counts
            differ.
        WeightsError: the weights do not match the model, or the checkpoint and the datasets have different category
            orders.
    """
    at_hand, reason = categories_at_hand(cfg, task_of(cfg).num_classes(cfg))
    model = _build(cfg).eval()
    if check is not None:
        check(cfg, model)
    checkpointer = SeesawCheckpointer(model, strict=True, categories=at_hand)
    checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])
    known = checkpointer.loaded_categories or at_hand
    check_calibration_counts(cfg, known)
    count = task_of(cfg).num_classes(cfg)
    if known is not None and len(known.names) == count:
        return model, list(known.names), ""
    return model, [f"category {index}" for index in range(count)], reason


def _build(cfg: CfgNode) -> nn.Module:
    resolved = cfg.clone()
    resolved.defrost()
    replace_auto_device(resolved)
    return build_model(resolved)


def prepare(cfg: CfgNode, image: np.ndarray) -> np.ndarray:
    """Resize an image as in evaluation. Return a uint8 array (3, height, width) with the channels of INPUT.FORMAT.

    Args:
        cfg: config of the model, with an INPUT.FORMAT that ``check_channels`` accepts.
        image: uint8 (height, width, 3) BGR. The result does not share memory with this array.

    Raises:
        DataError: the image has a wrong type or shape, or resizing would reduce its shorter side to 0 pixels.
    """
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"image: expected a NumPy array (H, W, 3), found {shown(image)}. cv2.imread returns None for a file that "
            "it cannot read"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(
            f"image: expected a nonempty array of type uint8 and shape (H, W, 3), found type {image.dtype} and shape "
            f"{image.shape}"
        )
    if task_of(cfg) is CLASSIFICATION:
        record = {"array": np.ascontiguousarray(image[:, :, ::-1]), "annotations": [{"category_id": 0}], "image_id": 0}
        return ClassificationMapper(cfg, is_train=False)(record)["image"].numpy()
    channels = image[:, :, ::-1] if cfg.INPUT.FORMAT == "RGB" else image
    (resizing,) = build_resizing(cfg, [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)])
    transform = resizing.get_transform(channels)
    if min(getattr(transform, "new_h", 1), getattr(transform, "new_w", 1)) < 1:
        height, width = image.shape[:2]
        raise DataError(
            f"image: the shorter side of an image of {height} x {width} pixels would have 0 pixels after resizing, "
            f"which reduces the longer side to INPUT.MAX_SIZE_TEST {cfg.INPUT.MAX_SIZE_TEST}. Crop the image, or "
            "increase INPUT.MAX_SIZE_TEST"
        )
    return transform.apply_image(channels).transpose(2, 0, 1).copy()
