"""Register path handlers with which Detectron2's checkpointers load ``torchvision://`` and ``mmdet://`` addresses."""

import os
import pickle

from detectron2.utils.file_io import PathHandler, PathManager
from iopath.common.file_io import get_cache_dir

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.atomic_files import atomic_file
from seesaw_d2.weights.file_checks import download
from seesaw_d2.weights.published import FILES, published_url
from seesaw_d2.weights.published import SCHEME as MMDET
from seesaw_d2.weights.safe_reading import read_weights_file
from seesaw_d2.weights.torchvision_backbones import SCHEME, convert_resnet, torchvision_file


class TorchvisionHandler(PathHandler):
    """Path handler with which Detectron2 loads ImageNet weights from ``torchvision://resnet50`` and similar addresses.

    The handler downloads torchvision's weights and converts them once to the format of Detectron2's model zoo. It
    caches the converted file in Detectron2's download folder. Detectron2's checkpointer can load this format into any
    model with a ResNet.
    """

    def _get_supported_prefixes(self):
        return [SCHEME]

    def _get_local_path(self, path, force=False, **kwargs):
        original = torchvision_file(path, kwargs.get("limits"))
        stem, _ = os.path.splitext(os.path.basename(original))
        converted = os.path.join(get_cache_dir(), "seesaw_d2", f"{stem}.pkl")
        is_there = os.path.isfile(converted) and os.path.getmtime(converted) >= os.path.getmtime(original)
        if force or not is_there:
            tensors = convert_resnet(read_weights_file(original), source=original)
            state = {name: tensor.numpy() for name, tensor in tensors.items()}
            with atomic_file(converted) as file:
                pickle.dump({"model": state, "__author__": "torchvision", "matching_heuristics": True}, file)
        return converted

    def _open(self, path, mode="r", buffering=-1, **kwargs):
        return PathManager.open(self._get_local_path(path), mode, buffering=buffering)


class MmdetHandler(PathHandler):
    """Path handler with which Detectron2 loads MMDetection's published Seesaw Loss models from ``mmdet://FILE``.

    FILE is the name of a published checkpoint, one of the values of ``published.FILES``. The handler downloads and
    converts the checkpoint once, and caches the converted file in Detectron2's download folder.
    """

    def _get_supported_prefixes(self):
        return [MMDET]

    def _get_local_path(self, path, force=False, **kwargs):
        name = path.removeprefix(MMDET)
        if name not in FILES.values():
            raise WeightsError(
                f"MODEL.WEIGHTS: expected {MMDET} followed by one of {', '.join(FILES.values())}, found {path}"
            )
        original = download(published_url(name), kwargs.get("limits"))
        converted = os.path.join(get_cache_dir(), "seesaw_d2", name)
        is_there = os.path.isfile(converted) and os.path.getmtime(converted) >= os.path.getmtime(original)
        if force or not is_there:
            # Import the converter only when it is needed, because this import loads all models of this project.
            from seesaw_d2.weights.converters import convert_mmdet_file

            os.makedirs(os.path.dirname(converted), exist_ok=True)
            convert_mmdet_file(original, converted, overwrite=True)
        return converted

    def _open(self, path, mode="r", buffering=-1, **kwargs):
        return PathManager.open(self._get_local_path(path), mode, buffering=buffering)


PathManager.register_handler(MmdetHandler())
PathManager.register_handler(TorchvisionHandler())
