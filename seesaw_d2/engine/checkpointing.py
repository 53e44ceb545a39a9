"""Loading weights, and saying what did not fit."""

import os
import pickle
import zipfile

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager

from seesaw_d2.engine.torchvision_weights import (
    SCHEME,
    convert_resnet,
    is_torchvision_resnet,
    resnet_prefix,
    torchvision_file,
)
from seesaw_d2.errors import WeightsError
from seesaw_d2.losses import ClassificationLoss
from seesaw_d2.utils.names import select


class SeesawCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer that never leaves a parameter at its initial value without a word.

    Starting a training from weights that do not fit everywhere (a COCO model for another data set, a softmax
    classifier for a Seesaw head) is normal: those parameters keep their initial values, and a warning lists them.
    Evaluating or resuming with them is not, nor is a frozen parameter that nothing would ever train: that raises
    ``WeightsError``.

    ``torchvision://resnet50`` (and others), and files of torchvision's ResNet weights, are converted: they must fit the
    backbone in every layer, and leave the rest of the model as it is.

    Args:
        strict: raise also in ``load(path, checkpointables=[])``.
        left_out: patterns (``utils.names.matches``) of the parameters and buffers that ``load(path,
            checkpointables=[])``, the start of a training, leaves at their initial values although the file has others.
    """

    def __init__(self, model, save_dir="", *, strict=False, left_out=(), **kwargs):
        super().__init__(model, save_dir, **kwargs)
        self.strict = strict
        self.left_out = select(self.model.state_dict(), left_out, "MODEL.WEIGHTS_EXCEPT")

    def load(self, path, checkpointables=None):
        self._must_fit = self.strict or checkpointables is None
        self._path = path
        self._backbone = None
        if path and path.startswith(SCHEME):
            path = torchvision_file(path)
        elif path and "://" in path:
            path = _fetched(path)
        elif path and not os.path.isfile(path):
            raise WeightsError(f"{path}: no such file")
        if self._must_fit or not path:
            return super().load(path, checkpointables)
        # Put back afterwards, so that it holds for every format of checkpoint and its names.
        # Not by load_state_dict: FrozenBatchNorm2d resets the statistics that a state lacks.
        state = self.model.state_dict()
        initial = {name: state[name].clone() for name in sorted(self.left_out)}
        extra = super().load(path, checkpointables)
        for name, value in initial.items():
            state[name].copy_(value)
        if initial:
            self.logger.info(f"{path}: left out (MODEL.WEIGHTS_EXCEPT), initial values: {', '.join(initial)}")
        return extra

    def _load_file(self, filename):
        try:
            loaded = super()._load_file(filename)
        except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError, KeyError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(f"{self._path}: expected a file of weights and plain values: {reason}") from error
        if not isinstance(loaded["model"], dict):
            found = type(loaded["model"]).__name__
            raise WeightsError(f"{self._path}: expected a mapping of parameters, found a {found}")
        if is_torchvision_resnet(loaded["model"]):
            self._backbone = resnet_prefix(self.model)
            loaded["model"] = convert_resnet(loaded["model"], self._backbone)
        return loaded

    def _log_incompatible_keys(self, incompatible) -> None:
        if self._backbone is not None:
            self._check_backbone(incompatible)
        problems = self._problems(incompatible)
        if not self._must_fit:
            self._check_frozen({**problems, **dict.fromkeys(self.left_out, "left out by MODEL.WEIGHTS_EXCEPT")})
            problems = {name: problem for name, problem in problems.items() if name not in self.left_out}
            if self._backbone is not None:
                self.logger.info(f"{self._path}: loaded into {self._backbone}*; all else keeps its initial values")
                return
        if problems:
            self._complain([f"{name}: {problem}" for name, problem in problems.items()])
        if incompatible.unexpected_keys:
            names = ", ".join(incompatible.unexpected_keys)
            self.logger.warning(f"{self._path}: not used by this model: {names}")

    def _problems(self, incompatible) -> dict[str, str]:
        """Parameters and buffers that the file does not have or has in another shape, each with what is wrong.

        Counts of batches and what a loss keeps are left aside: predictions do not depend on them.
        """
        problems = {
            name: "not in the file"
            for name in incompatible.missing_keys
            if not name.endswith("num_batches_tracked") and ".cls_loss." not in name
        }
        return {**problems, **_wrong_shapes(incompatible)}

    def _check_frozen(self, problems: dict[str, str]) -> None:
        frozen = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        lines = [f"{name}: {problem}" for name, problem in problems.items() if name in frozen]
        if lines:
            listed = "\n  ".join(lines)
            raise WeightsError(f"{self._path}: frozen parameters would keep their initial values for ever:\n  {listed}")

    def _check_backbone(self, incompatible) -> None:
        """Every layer of the backbone was in the file, and every layer in the file is the backbone's."""
        lines = [f"{name}: {problem}" for name, problem in _wrong_shapes(incompatible).items()]
        lines += [f"{name}: not in the file" for name in incompatible.missing_keys if self._in_backbone(name)]
        lines += [f"{name}: not in the model" for name in incompatible.unexpected_keys]
        if lines:
            listed = "\n  ".join(lines[:5] + [f"and {len(lines) - 5} more"] * (len(lines) > 5))
            raise WeightsError(
                f"{self._path}: not the weights of the model's ResNet (MODEL.RESNETS.DEPTH):\n  {listed}"
            )

    def _in_backbone(self, name: str) -> bool:
        # FrozenBatchNorm2d has no count of batches, and torchvision's is not converted.
        own = name.startswith((f"{self._backbone}stem.", f"{self._backbone}res"))
        return own and not name.endswith("num_batches_tracked")

    def _complain(self, lines) -> None:
        listed = "\n  ".join(lines)
        hint = (
            "NUM_CLASSES, MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME and .BACKGROUND decide the classifier's shape "
            f"(here: {self._classifier()})"
        )
        if self._must_fit:
            raise WeightsError(f"{self._path}: does not fit the model:\n  {listed}\n{hint}")
        self.logger.warning(
            f"{self._path}: {len(lines)} parameters do not fit the model and keep their initial values:\n  {listed}\n"
            f"{hint}"
        )

    def _classifier(self) -> str:
        loss = next((module for module in self.model.modules() if isinstance(module, ClassificationLoss)), None)
        if loss is None:
            return type(getattr(self.model, "roi_heads", self.model)).__name__
        return (
            f"{type(loss).__name__}, background {loss.background!r}: "
            f"{loss.num_logits} logits for {loss.num_classes} categories"
        )


def _wrong_shapes(incompatible) -> dict[str, str]:
    return {
        name: f"expected shape {tuple(model)}, found {tuple(found)}"
        for name, found, model in incompatible.incorrect_shapes
    }


def _fetched(url: str) -> str:
    """The local copy of weights at an address that Detectron2 knows (https, detectron2, catalog, ...)."""
    try:
        return PathManager.get_local_path(url)
    except Exception as error:  # whatever its downloader raises
        raise WeightsError(f"MODEL.WEIGHTS: {url}: cannot be fetched: {type(error).__name__}: {error}") from error


def check_weights_file(path: str) -> None:
    """Raise WeightsError if a weights file is missing or torn; what is not local is downloaded.

    Only the archive's directory is read, which stands at a file's end: a file that was cut off has none.
    """
    if path.startswith(SCHEME):
        path = torchvision_file(path)
    if "://" in path:
        path = _fetched(path)
    if not os.path.isfile(path):
        raise WeightsError(f"MODEL.WEIGHTS: {path}: no such file")
    if path.endswith(".pth") and not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            magic = file.read(2)
        if magic != b"\x80\x02":  # PyTorch's format before 1.6
            raise WeightsError(f"MODEL.WEIGHTS: {path}: expected a PyTorch checkpoint, found a torn or other file")
