"""Check a LazyConfig before the job starts: its datasets, its model, and the settings that YAML configs also have."""

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode, instantiate
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import nn

from seesaw_d2.config.loading import load_config
from seesaw_d2.data.records.catalog import categories_of, check_annotation_file
from seesaw_d2.errors import SeesawError
from seesaw_d2.train.acceleration import check_acceleration, precision_warnings
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.train.job import Job
from seesaw_d2.train.lazyconfig.loading import amp_of, selected
from seesaw_d2.train.preflight.config_checks import check_solver, resolve_device
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.step_report import generator_states
from seesaw_d2.utils.category_names import Categories, check_checkpoint, check_order, entry_of
from seesaw_d2.utils.messages import warn_once
from seesaw_d2.weights.safe_reading import read_weights_file

logger = logging.getLogger(__name__)


class LazyPreflight(Preflight):
    """Checks of a job with a LazyConfig. Unlike the checks of YAML configs, they load no weights into the model.

    Args:
        lazy: the LazyConfig.
        options: keyword arguments of ``Preflight``, such as ``eval_only``, ``resume`` and ``world_size``.
    """

    def __init__(self, lazy: Any, **options: Any):
        super().__init__(common_settings(lazy), **options)
        self.lazy = lazy

    def config_checks(self) -> list[Callable[[], object]]:
        return [
            lambda: check_acceleration(self.cfg),
            lambda: resolve_device(self.cfg, training=not self.eval_only),
            lambda: check_solver(self.cfg, self.world_size),
        ]

    def data_checks(self) -> list[Callable[[], object]]:
        return [self._check_data]

    def model_checks(self) -> list[Callable[[], object]]:
        return [self._check_order, self._build_model]

    def _model_is_final(self) -> bool:
        return True  # even on a GPU, because the job moves the model to the device

    def job(self) -> Job:
        self.run()
        warnings = () if self.eval_only else precision_warnings(self.cfg)
        return Job(self.cfg, self.eval_only, self.resume, categories=self._categories(), warnings=warnings)

    def _build_model(self) -> None:
        self._model = build_model(self.lazy, self.cfg.SEED)
        self._generators = generator_states()

    def _check_data(self) -> None:
        """Check the annotation files, and that training and test data have their class names in the same order."""
        cfg = self.lazy
        parts = ([] if self.eval_only else ["train"]) + ([] if cfg.dataloader.get("evaluator") is None else ["test"])
        for name in [name for part in parts for name in _dataset_names(cfg, part)]:
            if name in DatasetCatalog:
                check_annotation_file(name)
        trained, tested = (lazy_categories(cfg, part) for part in ("train", "test"))
        if trained is not None and tested is not None and (warning := check_order(trained, tested)):
            warn_once(logger, warning)

    def _check_order(self) -> None:
        """Raise WeightsError if the class names in the weights file do not match those of the data, or their order."""
        found = resume_file(self.cfg.OUTPUT_DIR) if self.resume else None
        path = found.path if found else self.cfg.MODEL.WEIGHTS
        if not os.path.isfile(path):
            return
        content = read_weights_file(path)
        if isinstance(content, dict) and (kept := entry_of(content, path)):
            # Ignore the returned warning, because the job logs the warning when it loads the checkpoint.
            check_checkpoint(kept, self._categories(), must_fit=bool(self.eval_only or found))

    def _categories(self) -> Categories | None:
        return lazy_categories(self.lazy, "test" if self.eval_only else "train")


def build_model(lazy: Any, seed: int) -> nn.Module:
    """Build the model of a LazyConfig on the CPU. Initialize it with ``seed`` or, if negative, with a random seed."""
    seed_all_rng(None if seed < 0 else seed + comm.get_rank())
    return instantiate(lazy.model)


def common_settings(lazy: Any) -> CfgNode:
    """Return a YAML config with the settings of a LazyConfig that YAML configs also have, such as SOLVER.MAX_ITER.

    All other keys have their default values. The checks of YAML configs use the result.
    """
    cfg, train = load_config(), lazy.train
    cfg.MODEL.DEVICE, cfg.OUTPUT_DIR, cfg.SEED = train.device, train.output_dir, train.get("seed", -1)
    cfg.MODEL.WEIGHTS = train.init_checkpoint.partition("?")[0]
    cfg.MODEL.DOWNLOAD_TIMEOUT = train.get("download_timeout", cfg.MODEL.DOWNLOAD_TIMEOUT)
    cfg.MODEL.DOWNLOAD_TIME_LIMIT = train.get("download_time_limit", cfg.MODEL.DOWNLOAD_TIME_LIMIT)
    cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE = train.amp.enabled, amp_of(lazy)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.CHECKPOINT_PERIOD = train.max_iter, train.checkpointer.period
    cfg.SOLVER.COLLECTIVE_TIMEOUT = train.get("collective_timeout", cfg.SOLVER.COLLECTIVE_TIMEOUT)
    cfg.SOLVER.MAX_SKIPPED_STEPS = train.get("max_skipped_steps", 0)
    cfg.SOLVER.CHECKPOINT_KEEP = train.checkpointer.get("max_to_keep") or 0
    if "total_batch_size" in lazy.dataloader.train:
        cfg.SOLVER.IMS_PER_BATCH = lazy.dataloader.train.total_batch_size
    return cfg


def lazy_categories(cfg: Any, part: str) -> Categories | None:
    """Return the class names of the dataset of ``dataloader.train`` or ``dataloader.test``, or None if unknown.

    Args:
        cfg: the LazyConfig.
        part: "train" or "test".
    """
    for name in _dataset_names(cfg, part):
        with contextlib.suppress(SeesawError):  # if the loader needs the annotation file, it raises this error later
            if (found := categories_of(name, f"dataloader.{part}")) is not None:
                return found
    return None


def _dataset_names(cfg: Any, part: str) -> list[str]:
    found = [selected(cfg.dataloader, f"{part}.{key}") for key in ("names", "dataset.names", "dataset.name")]
    return [name for names in found for name in ([names] if isinstance(names, str) else names or ())]
