"""Loading weights, and saying what did not fit."""

import os
import zipfile
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import WeightsError
from seesaw_d2.losses import ClassificationLoss
from seesaw_d2.train.checkpoints.loaded_state import check_types, takes_categories, wrong_shapes
from seesaw_d2.train.checkpoints.resume_files import resume_file, write_pointer
from seesaw_d2.utils.category_names import ENTRY, Categories, check_checkpoint, entry_of
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.parameter_patterns import select
from seesaw_d2.weights.checkpoint_io import not_finite, write_checkpoint
from seesaw_d2.weights.reading import as_checkpoint, check_regular_file, read_weights_file
from seesaw_d2.weights.torchvision_backbones import (
    SCHEME,
    convert_resnet,
    is_torchvision_resnet,
    resnet_prefix,
    torchvision_file,
)


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
        categories: of the data set that the model is used with. Checkpoints keep them, and those of a checkpoint are
            compared with them when it is loaded (``check_checkpoint``).

    Attributes:
        loaded_categories: those of the last checkpoint that was loaded; None if it has none.
    """

    def __init__(
        self, model, save_dir="", *, strict=False, left_out=(), categories: Categories | None = None, **kwargs
    ):
        super().__init__(model, save_dir, **kwargs)
        self.categories, self.loaded_categories = categories, None
        self.strict = strict
        self.left_out = select(self.model.state_dict(), left_out, "MODEL.WEIGHTS_EXCEPT")

    def load(self, path, checkpointables=None):
        self._must_fit = self.strict or checkpointables is None
        self._path = path
        self._backbone = None
        self._parsed_url_during_load = (
            None  # Detectron2 main leaves it behind where a load failed, and then refuses all
        )
        if path and path.startswith(SCHEME):
            path = torchvision_file(path)
        elif path and "://" in path:
            path = fetched(path)
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

    def save(self, name, **kwargs):
        """As in Detectron2, but atomically: ``last_checkpoint`` names a file that is there as a whole, always.

        Raises:
            OutputError: it cannot be written, for want of space or else; the checkpoints before are as they were.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        state = self.model_state() | {key: each.state_dict() for key, each in self.checkpointables.items()}
        self.logger.info(f"Saving checkpoint to {os.path.join(self.save_dir, name)}.pth")
        write_checkpoint(os.path.join(self.save_dir, f"{name}.pth"), {**state, **kwargs})
        self.tag_last_checkpoint(f"{name}.pth")

    def model_state(self) -> dict[str, Any]:
        """Return the part of a checkpoint that is the model: its weights and, where they are known, its categories."""
        known = {} if self.categories is None else {ENTRY: list(self.categories.names)}
        return {"model": self.model.state_dict(), **known}

    def tag_last_checkpoint(self, last_filename_basename):
        write_pointer(self.save_dir, last_filename_basename)

    def resume_or_load(self, path, *, resume=True):
        """As in Detectron2, and say it where there is nothing to resume."""
        if resume and not self.has_checkpoint():
            begin = f"the weights are those of {path}" if path else "the weights are the initial ones"
            self.logger.warning(f"--resume: {self.save_dir} has no checkpoint: iteration 0, {begin}")
        return super().resume_or_load(path, resume=resume)

    def has_checkpoint(self):
        return resume_file(self.save_dir) is not None

    def get_checkpoint_file(self):
        """The checkpoint that a training resumes from, "" if there is none: see ``resume_file``."""
        found = resume_file(self.save_dir)
        for problem in found.problems if found else ():
            self.logger.warning(f"{problem}: the checkpoint before it is taken, {found.path}")
        return found.path if found else ""

    def _load_file(self, filename):
        """In place of Detectron2's, which runs the code in a pickle: see ``weights_files``."""
        loaded = as_checkpoint(read_weights_file(filename), filename)
        if is_torchvision_resnet(loaded["model"]):
            self._backbone = resnet_prefix(self.model)
            loaded["model"] = convert_resnet(loaded["model"], self._backbone)
        return loaded

    def _load_model(self, checkpoint):
        self._check_categories(entry_of(checkpoint, self._path))
        state = self.model.state_dict()
        check_types(state, checkpoint["model"], self._path)
        before = not_finite(state)
        incompatible = super()._load_model(checkpoint)
        # Where the model itself starts from infinity that is its way.
        lines = [name for name in not_finite(state) if name not in before]
        if lines:
            raise WeightsError(f"{self._path}: expected finite weights, found nan or infinity in {first_few(lines)}")
        return incompatible

    def _check_categories(self, found: Categories | None) -> None:
        self.loaded_categories = found
        if found is None or self.categories is None:
            return
        if not (self._must_fit or takes_categories(self.model.state_dict(), self.left_out, len(found.names))):
            return
        if warning := check_checkpoint(found, self.categories, must_fit=self._must_fit):
            self.logger.warning(warning)

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
            names = first_few(incompatible.unexpected_keys, limit=12)
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
        return {**problems, **wrong_shapes(incompatible)}

    def _check_frozen(self, problems: dict[str, str]) -> None:
        frozen = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        lines = [f"{name}: {problem}" for name, problem in problems.items() if name in frozen]
        if lines:
            listed = "\n  ".join(lines)
            raise WeightsError(f"{self._path}: frozen parameters would keep their initial values for ever:\n  {listed}")

    def _check_backbone(self, incompatible) -> None:
        """Every layer of the backbone was in the file, and every layer in the file is the backbone's."""
        lines = [f"{name}: {problem}" for name, problem in wrong_shapes(incompatible).items()]
        lines += [f"{name}: not in the file" for name in incompatible.missing_keys if self._in_backbone(name)]
        lines += [f"{name}: not in the model" for name in incompatible.unexpected_keys]
        if lines:
            raise WeightsError(
                f"{self._path}: not the weights of the model's ResNet (MODEL.RESNETS.DEPTH):\n  {_first(lines, 5)}"
            )

    def _in_backbone(self, name: str) -> bool:
        # FrozenBatchNorm2d has no count of batches, and torchvision's is not converted.
        own = name.startswith((f"{self._backbone}stem.", f"{self._backbone}res"))
        return own and not name.endswith("num_batches_tracked")

    def _complain(self, lines) -> None:
        hint = (
            "NUM_CLASSES, MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME and .BACKGROUND decide the classifier's shape "
            f"(here: {self._classifier()})"
        )
        if self._must_fit:
            raise WeightsError(f"{self._path}: does not fit the model:\n  {_first(lines, 20)}\n{hint}")
        listed = "\n  ".join(lines)
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


def fetched(url: str) -> str:
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
        path = fetched(path)
    if not os.path.lexists(path):
        raise WeightsError(f"MODEL.WEIGHTS: {path}: no such file")
    check_regular_file(path)
    if path.endswith(".pth") and not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            magic = file.read(2)
        if magic != b"\x80\x02":  # PyTorch's format before 1.6
            raise WeightsError(f"MODEL.WEIGHTS: {path}: expected a PyTorch checkpoint, found a torn or other file")


def _first(lines: list[str], count: int) -> str:
    """The first of them, for a message, and how many more there are: of another model every name is wrong."""
    more = [f"and {len(lines) - count} more"] if len(lines) > count else []
    return "\n  ".join([*lines[:count], *more])
