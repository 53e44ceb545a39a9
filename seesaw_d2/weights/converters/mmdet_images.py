"""Convert the image preprocessing in a config of MMDetection to config keys of this project.

MMDetection 2 resizes, normalizes and pads images in the test pipeline, inside MultiScaleFlipAug. MMDetection 3 resizes
in the test pipeline, and normalizes and pads in the data_preprocessor of the model.
"""

from collections.abc import Mapping
from typing import Any

from seesaw_d2.weights.converters import mmdet_parts as parts
from seesaw_d2.weights.converters.mmdet_settings import Settings, is_numbers

# Where a config of MMDetection 2 or 3 can contain the test pipeline, as paths of config keys. The converter uses the
# first path that exists.
_PLACES = (
    "test_dataloader.dataset",
    "data.test",
    "test_pipeline",
    "val_dataloader.dataset",
    "data.val",
)
# Maps the argument "backend" of MMDetection's transform Resize to the value of INPUT.RESIZE for the same image library.
_BACKENDS = {"cv2": "opencv", "pillow": "pillow"}


def read_images(config: Mapping[str, Any], found: Settings) -> None:
    """Convert the image preprocessing at test time in an MMDetection config to config keys of this project.

    The preprocessing is the channel order, mean, std, padding, image size and resize library.

    Args:
        config: MMDetection's config, a nested dict.
        found: the settings read so far. This function adds config keys, and problems for unsupported values.
    """
    model = config.get("model")
    new = isinstance(model, dict) and isinstance(model.get("data_preprocessor"), dict)
    if new:
        _read_preprocessor(model["data_preprocessor"], found)
    place, pipeline = _test_pipeline(config)
    if pipeline is None:
        found.unsaid.append("the test pipeline (test scale, resizing" + ("" if new else ", mean and std") + ")")
        return
    names = [step.get("type") if isinstance(step, dict) else None for step in pipeline]
    for index, step in enumerate(pipeline):
        where = f"{place}[{index}]"
        if names[index] == "MultiScaleFlipAug":
            _read_augmented(step, where, found)
        elif not isinstance(step, dict):
            found.reject(where, "a dict", step)
        else:
            _read_step(step, where, found, new=new)
    if not new and "MODEL.PIXEL_MEAN" not in found.keys:
        found.problems.append(
            f"{place}: mean and std are missing, because the pipeline has no Normalize and the model has no "
            "data_preprocessor"
        )
    if "INPUT.MIN_SIZE_TEST" not in found.keys and not found.problems:
        found.problems.append(f"{place}: expected a transform Resize, found only {', '.join(map(str, names))}")


def _test_pipeline(config: Mapping[str, Any]) -> tuple[str, list | None]:
    """Return the path of the test pipeline in an MMDetection config, and the pipeline, which is a list of transforms.

    For example, the path is "data.test.pipeline". If the config has no test pipeline, return ("", None).
    """
    for place in _PLACES:
        node: Any = config
        for key in place.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        for _ in range(4):  # find a dataset that is inside up to 4 wrappers, such as ConcatDataset
            if isinstance(node, dict) and "pipeline" not in node:
                inner = node.get("dataset", node.get("datasets"))
                node = inner[0] if isinstance(inner, list) and inner else inner
        pipeline = node.get("pipeline") if isinstance(node, dict) else node
        if isinstance(pipeline, list):
            return place if place == "test_pipeline" else f"{place}.pipeline", pipeline
    return "", None


def _read_preprocessor(values: Mapping[str, Any], found: Settings) -> None:
    where = "model.data_preprocessor"
    found.problems += parts.PREPROCESSOR.problems(values, where)
    if "pad_size_divisor" not in values:
        found.problems.append(f"{where}.pad_size_divisor: expected 32, found no value")
    swaps = values.get("bgr_to_rgb", False), values.get("rgb_to_bgr", False)
    _read_colors(values, swaps[0] if swaps[1] is False else swaps[1], where, found)


def _read_colors(values: Mapping[str, Any], to_rgb: Any, where: str, found: Settings) -> None:
    """Store the channel order, mean and standard deviation of the images as config keys in ``found``.

    Args:
        values: a dict in the config with "mean" and "std", in the channel order after the conversion to RGB.
        to_rgb: whether MMDetection converts the images, which it decodes as BGR, to RGB. This value from the config may
            be invalid.
        where: path of ``values`` in the config, for error messages.
        found: the settings read so far, which this function extends.
    """
    if to_rgb not in (True, False):
        found.reject(where, "True or False for the conversion to RGB", to_rgb)
        return
    found.set("INPUT.FORMAT", "RGB" if to_rgb else "BGR", where)
    for name, key, absent in (("mean", "MODEL.PIXEL_MEAN", 0.0), ("std", "MODEL.PIXEL_STD", 1.0)):
        value = [absent] * 3 if values.get(name) is None else values[name]
        if is_numbers(value, 3) and (name == "mean" or all(each > 0 for each in value)):
            found.set(key, value, f"{where}.{name}")
        else:
            found.reject(
                f"{where}.{name}", "a list of 3 numbers" if name == "mean" else "a list of 3 numbers > 0", value
            )


def _read_step(step: Mapping[str, Any], where: str, found: Settings, *, new: bool) -> None:
    kind = step.get("type")
    if kind in parts.NO_EFFECT:
        return
    if kind == "LoadImageFromFile":
        found.problems += parts.LOAD.problems(step, where)
    elif kind == "Normalize":
        found.problems += parts.NORMALIZE.problems(step, where)
        _read_colors(step, step.get("to_rgb", True), where, found)
    elif kind == "Pad":
        found.problems += parts.PAD.problems(step, where)
    elif kind == "RandomFlip":  # inside MultiScaleFlipAug, it has no probability and never flips
        share = step.get("prob", 0 if step.get("flip_ratio") is None else step["flip_ratio"])
        if share not in (0, None):
            found.reject(f"{where}: RandomFlip", "probability 0 in the test pipeline", share)
    elif kind == "Resize":
        found.problems += parts.RESIZE.problems(step, where)
        if new and "keep_ratio" not in step:  # MMDetection 3 does not keep the aspect ratio by default
            found.problems.append(f"{where}.keep_ratio: expected True, found False")
        _read_scale(step.get("scale", step.get("img_scale")), where, found)
        backend = step.get("backend", "cv2")
        if backend in _BACKENDS:
            found.set("INPUT.RESIZE", _BACKENDS[backend], f"{where}.backend")
        else:
            found.reject(f"{where}.backend", "cv2 or pillow", backend)
    else:
        found.problems.append(f"{where}: {kind} is not a supported transform")


def _read_augmented(step: Mapping[str, Any], where: str, found: Settings) -> None:
    found.problems += parts.AUGMENTED.problems(step, where)
    transforms = step.get("transforms")
    if not isinstance(transforms, list):
        found.reject(f"{where}.transforms", "a list", transforms)
        return
    if "Pad" not in [each.get("type") for each in transforms if isinstance(each, dict)]:
        found.problems.append(f"{where}.transforms: expected a transform Pad with size_divisor 32, found no Pad")
    for index, each in enumerate(transforms):
        place = f"{where}.transforms[{index}]"
        if not isinstance(each, dict):
            found.reject(place, "a dict", each)
            continue
        if each.get("type") == "Resize":  # MultiScaleFlipAug, not Resize, has the image size
            each = {**each, "img_scale": step.get("img_scale")}
        _read_step(each, place, found, new=False)


def _read_scale(scale: Any, where: str, found: Settings) -> None:
    if isinstance(scale, list) and len(scale) == 1 and isinstance(scale[0], list):
        (scale,) = scale
    if not is_numbers(scale, 2, int) or min(scale) < 1:
        found.reject(f"{where}: test scale", "one pair of width and height", scale)
        return
    found.set("INPUT.MIN_SIZE_TEST", min(scale), where)
    found.set("INPUT.MAX_SIZE_TEST", max(scale), where)
