"""Compute mask AP of stored proposals with several calibrations, with another pass of the model over the images."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from detectron2.evaluation.evaluator import inference_context
from detectron2.modeling.postprocessing import detector_postprocess
from torch import nn

from seesaw_d2.choosing.detecting import Limits, Scoring, selected
from seesaw_d2.choosing.evaluated_images import EvaluatedImages
from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.evaluation.detections import Detections


def mask_metrics(
    model: nn.Module,
    inputs: Iterable[dict[str, Any]],
    stored: StoredProposals,
    scorings: Mapping[str, Callable[[int], Scoring]],
    limits: Limits,
    images: EvaluatedImages,
) -> dict[str, dict[str, float]]:
    """Predict and evaluate the masks of the detections that each calibration gives. The backbone runs once per image.

    Args:
        model: the detector, with a mask head.
        inputs: model inputs in Detectron2's format, one per stored image, in the order of ``stored``.
        stored: boxes and logits of the proposals of the images.
        scorings: dict from calibration name to a function that takes an image id, and returns the function that
            computes calibrated scores from the logits in this image. With cross-validation, it depends on the fold.
        limits: score threshold, NMS threshold and maximum number of detections per image.
        images: computes the metrics on these images.

    Returns:
        a dict from calibration name to a dict from metric, such as "AP", to percent.
    """
    found: dict[str, list[Detections]] = {name: [] for name in scorings}
    with torch.no_grad(), inference_context(model):
        for image, each in zip(stored, inputs, strict=True):
            features = model.backbone(model.preprocess_image([each]).tensor)
            for name, scoring_of in scorings.items():
                boxes = selected(image, scoring_of(image.image_id), limits).to(model.device)
                (masked,) = model.roi_heads.forward_with_given_boxes(features, [boxes])
                instances = detector_postprocess(masked, *image.output_size).to("cpu")
                found[name].append(Detections.from_instances(instances, image.image_id))
    return {name: images.metrics(Detections.concatenate(parts), "segm") for name, parts in found.items()}
