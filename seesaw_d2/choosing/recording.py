"""Run a detector, and store the logits and boxes of all proposals of each image, before score threshold and NMS.

Shapes: R proposals of an image, L logits, D features of the box head.
"""

import contextlib
import copy
import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from detectron2.evaluation.evaluator import inference_context
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from torch import Tensor, nn

from seesaw_d2.choosing.detecting import Limits, Scoring, detections_of
from seesaw_d2.choosing.stored_images import checked
from seesaw_d2.choosing.stored_proposals import ImageProposals, ProposalWriter, StoredProposals
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor


def box_predictors(model: nn.Module) -> list[SeesawBoxPredictor]:
    """Return the box predictors of a two-stage detector: one, or one for each stage of a cascade.

    Raises:
        ConfigError: the model is not a two-stage detector with this project's box predictor.
    """
    found = [module for module in model.modules() if isinstance(module, SeesawBoxPredictor)]
    if not isinstance(model, GeneralizedRCNN) or not found:
        raise ConfigError(
            "MODEL.META_ARCHITECTURE: expected a two-stage detector with box predictors of this project, such as "
            f"those of SeesawROIHeads, found {type(model).__name__} with {len(found)} such box predictors"
        )
    return found


def limits_of(model: nn.Module) -> Limits:
    """Return the score threshold, NMS threshold and maximum number of detections of a detector.

    In a cascade, the box predictor of the last stage defines these values.
    """
    last = box_predictors(model)[-1]
    return Limits(last.test_score_thresh, last.test_nms_thresh, last.test_topk_per_image)


def scoring_of(model: nn.Module, calibrated: bool = True) -> Scoring:
    """Return the function with which a detector computes scores from logits, as a ``Scoring``.

    The function uses copies of the detector's losses, calibrations and classifiers on the CPU.

    Args:
        model: a two-stage detector.
        calibrated: whether the function applies the calibration of the model. If False, it computes plain scores.
    """
    predictors = box_predictors(model)
    if getattr(model.roi_heads, "average", "") == "logits":  # only the last stage computes scores, from mean logits
        predictors = predictors[-1:]
    return Scoring(
        [_on_cpu(each.cls_loss) for each in predictors],
        [_on_cpu(each.calibration) if calibrated else None for each in predictors],
        [_on_cpu(each.cls_score) for each in predictors],
    )


def _on_cpu(module):
    return None if module is None else copy.deepcopy(module).cpu()


def digest_of_model(model: nn.Module) -> str:
    """Return a hash of all parameters and persistent buffers of a model, which identifies its weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def record(
    model: nn.Module,
    inputs: Iterable[dict[str, Any]],
    folder: str | os.PathLike,
    made_from: dict[str, Any],
    *,
    features: bool = False,
) -> StoredProposals:
    """Run a model on images, and store the logits and boxes of all proposals.

    To resume an interrupted call, call this function again. ROI heads of other projects may compute scores in a
    different way. Therefore this function checks the first image: it compares the scores of the model's detections with
    scores computed from the stored logits.

    Args:
        model: a two-stage detector. This function sets the model to evaluation mode and restores the mode at the end.
            The stored logits do not depend on the calibration of the model.
        inputs: model inputs in Detectron2's format, one per image. ``made_from`` must identify the images and their
            order.
        folder: output folder. It is new or empty, or contains proposals of an interrupted call.
        made_from: JSON values that identify the proposals, to recognize an interrupted call. This function adds a hash
            of the model.
        features: if True, also store two arrays for the R proposals of an image and each stage i. ``features{i}``,
            (R, D) float16, are the D inputs of the classifier. ``rois{i}``, (R, 4), are the boxes from which the model
            pooled these features, in pixels of the resized image.

    Raises:
        ConfigError: the model is not supported, or ``folder`` contains other files or other proposals.
        DataError: the stored proposals are damaged.
    """
    source = {**made_from, "model": digest_of_model(model), "features": features}
    writer = ProposalWriter(folder, source, vars(limits_of(model)))
    recorder = _Recorder(model, features)
    done, ids = writer.written, []
    with torch.no_grad(), inference_context(model), recorder.watching():
        for index, each in enumerate(inputs):
            ids.append(each["image_id"])
            if index < done:
                continue
            image, output = recorder.run(each)
            if index == 0:
                _compare(image, output, model)
            writer.add(image)
    return checked(StoredProposals(folder), ids)


def _compare(image: ImageProposals, expected: Instances, model: nn.Module) -> None:
    """Raise ConfigError if scores computed from the stored logits differ from the scores of the model's detections.

    Boxes are not compared, because rounding errors on a GPU can change the order of detections with similar scores.

    Args:
        image: logits and boxes of the proposals of an image.
        expected: the model's detections in this image.
        model: the detector.
    """
    found = detections_of(image, scoring_of(model), limits_of(model)).scores
    number = min(len(found), len(expected))
    close = torch.allclose(found[:number], expected.scores[:number], atol=0.01)
    if not close or abs(len(found) - len(expected)) > 0.05 * number + 1:
        raise ConfigError(
            "MODEL.ROI_HEADS.NAME: expected ROI heads that average the probabilities of their box predictors, found "
            f"{type(model.roi_heads).__name__}. In image {image.image_id}, the model has {len(expected)} detections, "
            f"which differ from the {len(found)} detections computed from the average"
        )


class _Recorder:
    """Record what the box predictors of a detector read and return in a forward pass: features, logits and boxes.

    Args:
        model: a two-stage detector.
        features: whether to record the inputs of the box predictors, too (features and boxes of the proposals). If
            False, only the logits of each stage and the predicted boxes are recorded.
    """

    def __init__(self, model: nn.Module, features: bool):
        self._model, self._features = model, features
        self._predictors = box_predictors(model)
        self._columns: dict[str, Tensor] = {}
        self._size = (0, 0)

    def run(self, each: dict[str, Any]) -> tuple[ImageProposals, Any]:
        """Run the model on one image, given as a dict in Detectron2's format. Call this method within ``watching``.

        Returns:
            the recorded proposals, and the detections of the model.
        """
        self._columns.clear()
        output = self._model([each])[0]["instances"].to("cpu")
        columns = {name: self._array(name, value) for name, value in self._columns.items()}
        size = (each.get("height", self._size[0]), each.get("width", self._size[1]))
        return ImageProposals(each["image_id"], self._size, size, columns), output

    def _array(self, name: str, value: Tensor) -> np.ndarray:
        array = value.detach().cpu().numpy()
        return array.reshape(len(array), -1).astype(np.float16) if name.startswith("features") else array

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record the inputs and outputs of the box predictors in each forward pass within this context.

        The heads for masks and keypoints are disabled in the context to save time.
        """
        heads, before = self._model.roi_heads, {}
        handles = []
        try:
            for name in ("mask_on", "keypoint_on"):
                if getattr(heads, name, False):
                    before[name] = True
                    setattr(heads, name, False)
            for index, predictor in enumerate(self._predictors):
                self._watch(predictor)
                if self._features:
                    handles.append(predictor.register_forward_pre_hook(self._hook(f"features{index}")))
            yield
        finally:
            for handle in handles:
                handle.remove()
            for predictor in self._predictors:
                vars(predictor).pop("predict_probs", None)
                vars(predictor).pop("predict_boxes", None)
            for name, value in before.items():
                setattr(heads, name, value)

    def _watch(self, predictor: SeesawBoxPredictor) -> None:
        """Replace the methods ``predict_probs`` and ``predict_boxes`` by versions that record logits and boxes."""
        probs, boxes = predictor.predict_probs, predictor.predict_boxes

        def predict_probs(predictions, proposals):
            index = sum(name.startswith("logits") for name in self._columns)
            self._columns[f"logits{index}"] = predictions[0]
            if self._features:
                self._columns[f"rois{index}"] = proposals[0].proposal_boxes.tensor
            return probs(predictions, proposals)

        def predict_boxes(predictions, proposals):
            found = boxes(predictions, proposals)
            self._columns["boxes"], self._size = found[0], tuple(proposals[0].image_size)
            return found

        predictor.predict_probs, predictor.predict_boxes = predict_probs, predict_boxes

    def _hook(self, name: str):
        def keep(_, arguments) -> None:
            self._columns[name] = arguments[0]

        return keep
