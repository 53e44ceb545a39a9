"""Save and load checkpoints, and report parameters that do not match the model."""

import os
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.checkpoint_mismatch import (
    check_backbone,
    check_frozen,
    check_types,
    describe_classifier,
    find_problems,
    first_lines,
    takes_categories,
)
from seesaw_d2.train.checkpoints.resume_files import resume_file, write_pointer
from seesaw_d2.utils.category_names import ENTRY, Categories, check_checkpoint, entry_of
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.parameter_patterns import select
from seesaw_d2.weights.checkpoint_io import not_finite, write_checkpoint
from seesaw_d2.weights.file_checks import download
from seesaw_d2.weights.safe_reading import SCORE_SETTINGS, as_checkpoint, read_weights_file
from seesaw_d2.weights.score_settings import differing_settings, score_settings
from seesaw_d2.weights.torchvision_backbones import (
    SCHEME,
    convert_resnet,
    is_torchvision_resnet,
    resnet_prefix,
    torchvision_file,
)


class SeesawCheckpointer(DetectionCheckpointer):
    """Checkpointer that checks whether weights match the model. It also loads the weights of torchvision's ResNets.

    A training may start from weights that match only a part of the model, such as the weights of a COCO model for
    another dataset. In this case, a warning lists the parameters that keep their initial values. In an evaluation, in
    a resumed training and for frozen parameters, a mismatch raises ``WeightsError``.

    The weights of a torchvision ResNet come from a file, or from an address such as ``torchvision://resnet50``. The
    checkpointer converts them to Detectron2's format. These weights must match all layers of the backbone. The other
    parts of the model keep their initial values.

    Args:
        strict: whether a mismatch always raises WeightsError. If False, it causes only a warning when a training loads
            its initial weights with ``load(path, checkpointables=[])``.
        left_out: MODEL.WEIGHTS_EXCEPT, names or patterns of the parameters and buffers that are not loaded from the
            initial weights. They keep the values with which the model was built.
        categories: class names of the model's dataset. The checkpointer saves them in each checkpoint, and compares
            them with the class names in loaded checkpoints.

    Attributes:
        loaded_categories: class names in the last loaded checkpoint, or None if it contains no class names.
        incompatible: fvcore's report on the last loaded checkpoint: missing, unexpected and wrongly shaped parameters.
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
        self._path, self.incompatible, self._backbone = path, None, None
        # Reset this attribute of Detectron2's main branch. After a failed load, it would make all further loads fail.
        self._parsed_url_during_load = None
        if path and path.startswith(SCHEME):
            path = torchvision_file(path)
        elif path and "://" in path:
            path = download(path)
        elif path and not os.path.isfile(path):
            raise WeightsError(f"{path}: no such file. Check the path of the weights file")
        if self._must_fit or not path:
            return super().load(path, checkpointables)
        # Load all values, then restore the initial values of the excluded parameters. Removing them from the checkpoint
        # would not work, because FrozenBatchNorm2d resets statistics that a checkpoint lacks.
        state = self.model.state_dict()
        initial = {name: state[name].clone() for name in sorted(self.left_out)}
        extra = super().load(path, checkpointables)
        for name, value in initial.items():
            state[name].copy_(value)
        if initial:
            self.logger.info(f"{path}: MODEL.WEIGHTS_EXCEPT excludes {', '.join(initial)} from loading")
        return extra

    def save(self, name, **kwargs):
        """Save a checkpoint atomically, so that the file ``last_checkpoint`` always names a complete checkpoint.

        Raises:
            OutputError: the file cannot be written. Earlier checkpoints stay unchanged.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        state = self.model_state() | {key: each.state_dict() for key, each in self.checkpointables.items()}
        self.logger.info(f"Saving checkpoint to {os.path.join(self.save_dir, name)}.pth")
        write_checkpoint(os.path.join(self.save_dir, f"{name}.pth"), {**state, **kwargs})
        self.tag_last_checkpoint(f"{name}.pth")

    def model_state(self) -> dict[str, Any]:
        """Return the part of a checkpoint that describes the model.

        Returns:
            a dict with the weights at "model", the result of ``score_settings`` at "score_settings" and, if the class
            names are known, a list of them at "categories".
        """
        known = {} if self.categories is None else {ENTRY: list(self.categories.names)}
        return {"model": self.model.state_dict(), SCORE_SETTINGS: score_settings(self.model), **known}

    def tag_last_checkpoint(self, last_filename_basename):
        write_pointer(self.save_dir, last_filename_basename)

    def resume_or_load(self, path, *, resume=True):
        """Load the last checkpoint if ``resume`` is True, or the weights in ``path``, as Detectron2 does.

        If ``resume`` is True but no checkpoint exists, load ``path`` and log a warning.
        """
        if resume and not self.has_checkpoint():
            start = f"the weights in {path}" if path else "the initial weights of the model"
            self.logger.warning(f"--resume: {self.save_dir} has no checkpoint. Starting at iteration 0 from {start}")
        return super().resume_or_load(path, resume=resume)

    def has_checkpoint(self):
        return resume_file(self.save_dir) is not None

    def get_checkpoint_file(self):
        """Return the path of the checkpoint to resume from, or "" if the run has not saved a checkpoint yet.

        The result is the last checkpoint or, if this file is damaged, the latest intact one.
        """
        found = resume_file(self.save_dir)
        for problem in found.problems if found else ():
            self.logger.warning(f"{problem}. Resuming from {found.path} instead")
        return found.path if found else ""

    def _load_file(self, filename):
        """Read a weights file without running code. Detectron2's method would run code that a pickle contains."""
        loaded = as_checkpoint(read_weights_file(filename), filename)
        if is_torchvision_resnet(loaded["model"]):
            self._backbone = resnet_prefix(self.model)
            loaded["model"] = convert_resnet(loaded["model"], self._backbone, source=filename)
        return loaded

    def _load_model(self, checkpoint):
        self._check_categories(entry_of(checkpoint, self._path))
        if self._must_fit and (differences := differing_settings(self.model, checkpoint)):
            self.logger.warning(
                f"{self._path}: the weights were trained with other settings, which can change the scores. Check the "
                f"config. {differences}"
            )
        state = self.model.state_dict()
        check_types(state, checkpoint["model"], self._path)
        before = not_finite(state)  # some models have infinite values from the start, which are no error
        incompatible = super()._load_model(checkpoint)
        lines = [name for name in not_finite(state) if name not in before]
        if lines:
            raise WeightsError(
                f"{self._path}: expected finite weights, found NaN or infinity in the parameters {first_few(lines)}. "
                "Use another weights file"
            )
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
        self.incompatible = incompatible
        if self._backbone is not None:
            check_backbone(incompatible, self._backbone, self._path)
        problems = find_problems(incompatible)
        if not self._must_fit:
            excluded = dict.fromkeys(self.left_out, "excluded by MODEL.WEIGHTS_EXCEPT")
            check_frozen(self.model, {**problems, **excluded}, self._path)
            problems = {name: problem for name, problem in problems.items() if name not in self.left_out}
            if self._backbone is not None:
                self.logger.info(
                    f"{self._path}: loaded into {self._backbone}*. All other parameters keep their initial values"
                )
                return
        if problems:
            self._complain([f"{name}: {problem}" for name, problem in problems.items()])
        if incompatible.unexpected_keys:
            names = first_few(incompatible.unexpected_keys, limit=12)
            self.logger.warning(f"{self._path}: ignoring parameters that the model does not have: {names}")

    def _complain(self, lines) -> None:
        hint = (
            "If the classifier should match, check NUM_CLASSES, MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME and "
            f"MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND. This model uses {describe_classifier(self.model)}"
        )
        if self._must_fit:
            listed = first_lines(lines, 20, "; ")
            raise WeightsError(f"{self._path}: the weights do not match the model ({listed}). {hint}")
        listed = "\n  ".join(lines)
        self.logger.warning(
            f"{self._path}: {len(lines)} parameters do not match the file, and keep their initial values:\n  {listed}\n"
            f"{hint}"
        )
