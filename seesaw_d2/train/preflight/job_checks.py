"""List all checks of a job. ``train_net.py`` stops at the first error, and ``tools/doctor.py`` prints all errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import nn

from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.data.sampling.rare_objects import validate_copy_paste
from seesaw_d2.data.sampling.repeat_factors import validate_sampling
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.modeling.freeze import freeze
from seesaw_d2.train.acceleration import check_acceleration, check_compilation, precision_warnings
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.job import Job
from seesaw_d2.train.monitoring import check_monitoring
from seesaw_d2.train.preflight.categories import check_calibration_counts, check_recorded_counts, used_categories
from seesaw_d2.train.preflight.config_checks import (
    check_cropping,
    check_names,
    check_solver,
    name_feature_maps,
    resolve_device,
)
from seesaw_d2.train.preflight.expected_results import check_best_metric, check_expected_results
from seesaw_d2.train.preflight.keys.check import check_written, passed_over
from seesaw_d2.train.preflight.keys.written import Layer
from seesaw_d2.train.preflight.output_folder import check_output_folder
from seesaw_d2.train.preflight.schedule import Schedule, apply_schedule, check_schedule, scale_to_processes
from seesaw_d2.train.preflight.start_weights import check_weights, load_start_weights
from seesaw_d2.train.preflight.trained_and_tested import trained_and_tested, trained_twice
from seesaw_d2.train.step_report import generator_states, restore_generators
from seesaw_d2.train.tasks import task_of
from seesaw_d2.utils.category_names import Categories
from seesaw_d2.utils.messages import first_few


@dataclass
class Preflight:
    """Checks of a training or an evaluation. The method ``job`` runs them, and returns the checked settings.

    The checks also build the model, and load its weights on the CPU, because some mistakes cannot be found otherwise.

    Args:
        cfg: config, not frozen. The checks replace values such as MODEL.DEVICE auto in place.
        eval_only, resume, overwrite: options of the command line.
        world_size: number of processes of the job.
        main_machine: whether to check OUTPUT_DIR. Pass True only in the main process. On a shared disk, another process
            could find files that the main process has just written.
        written: config keys that the user wrote in each file and on the command line (``written_layers``). If empty,
            the checks do not find keys without effect.

    Attributes:
        checkpointer: checkpointer that loaded the initial weights, or None before the checks of the model.
    """

    cfg: CfgNode
    eval_only: bool = False
    resume: bool = False
    overwrite: bool = False
    world_size: int = 1
    main_machine: bool = True
    written: Sequence[Layer] = ()
    checkpointer: SeesawCheckpointer | None = field(default=None, init=False)
    _model: nn.Module | None = field(default=None, init=False)
    _generators: dict = field(default_factory=dict, init=False)
    _scaled_from: int = field(default=0, init=False)
    _schedule: Schedule | None = field(default=None, init=False)

    def config_checks(self) -> list[Callable[[], object]]:
        """Return the checks that need only the config, as functions that raise an error if they find a mistake."""
        cfg = self.cfg
        return [
            lambda: resolve_device(cfg, training=not self.eval_only),
            lambda: check_names(cfg),
            lambda: check_written(cfg, self.written),
            self._check_solver,
            lambda: check_acceleration(cfg),
            lambda: check_schedule(cfg),
            lambda: check_cropping(cfg),
            lambda: validate_sampling(cfg),
            lambda: validate_copy_paste(cfg),
            lambda: check_monitoring(cfg),
        ]

    def file_checks(self) -> list[Callable[[], object]]:
        """Return the checks of OUTPUT_DIR and of the file MODEL.WEIGHTS, in this order."""
        return [
            self._check_folder,
            lambda: check_weights(self.cfg, eval_only=self.eval_only, resume=self.resume),
        ]

    def data_checks(self) -> list[Callable[[], object]]:
        """Return the checks of the datasets. The first one registers the datasets, and must run first."""
        return [
            lambda: register_datasets(self.cfg),
            lambda: task_of(self.cfg).validate_datasets(self.cfg, training=not self.eval_only),
            lambda: None if self.eval_only else check_recorded_counts(self.cfg),
            lambda: check_calibration_counts(self.cfg, self._categories()),
            lambda: check_expected_results(self.cfg),
            lambda: None if self.eval_only else check_best_metric(self.cfg),
            self._resolve_schedule,
        ]

    def model_checks(self) -> list[Callable[[], object]]:
        """Return the checks that build the model and load its weights. They must run in this order."""
        return [self._build_model, self._load_weights]

    def run(self) -> None:
        """Run all checks, and stop at the first error.

        Raises:
            ConfigError, DataError, WeightsError: a check found a mistake. The message names the key or the file.
        """
        for check in [*self.config_checks(), *self.file_checks(), *self.data_checks(), *self.model_checks()]:
            try:
                check()
            except OSError as error:  # a file was removed or became unreadable after its check
                raise ConfigError(
                    f"a file could not be read during the checks of the config: {type(error).__name__}: {error}"
                ) from error

    def job(self) -> Job:
        """Run all checks, and return the checked settings of the training or evaluation."""
        self.run()
        return Job(
            cfg=self.cfg,
            eval_only=self.eval_only,
            resume=self.resume,
            schedule=self._schedule,
            categories=self._categories(),
            notes=self.notes(),
            warnings=self._warnings(),
        )

    def take_model(self) -> nn.Module | None:
        """Return the model that the checks built, and remove the model from this object.

        This method also sets the random number generators to the states that they had when the model had been built.
        The job then draws the same random numbers as a job that builds the model itself.

        Returns:
            the model, or None if the job runs on a GPU or another process ran the checks.
        """
        model, self._model, self.checkpointer = self._model, None, None
        if model is None or not self._model_is_final():
            return None
        restore_generators(self._generators)
        return model

    def _model_is_final(self) -> bool:
        return self.cfg.MODEL.DEVICE == "cpu"

    def _check_solver(self) -> None:
        self._scaled_from = scale_to_processes(self.cfg, self.world_size)
        check_solver(self.cfg, self.world_size)

    def _check_folder(self) -> None:
        if self.eval_only and self.overwrite:
            raise ConfigError(
                "--eval-only, --overwrite: expected only one of these options, found both. Only a training "
                "replaces the run in OUTPUT_DIR."
            )
        if self.main_machine:
            check_output_folder(
                self.cfg.OUTPUT_DIR,
                resume=self.resume or self.eval_only,  # an evaluation may write to the folder of an existing run
                overwrite=self.overwrite,
                weights=self.cfg.MODEL.WEIGHTS,
            )

    def _resolve_schedule(self) -> None:
        if not self.eval_only:
            records = task_of(self.cfg).load_training_records(self.cfg) if self.cfg.SOLVER.EPOCHS > 0 else None
            self._schedule = apply_schedule(self.cfg, records, scaled_from=self._scaled_from)

    def _build_model(self) -> None:
        """Build the model on the CPU with the seed of the job, check it, and freeze parameters."""
        cfg, on_cpu = self.cfg, self.cfg.clone()
        on_cpu.defrost()
        on_cpu.MODEL.DEVICE = "cpu"
        seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
        with name_feature_maps(cfg):
            model = build_model(on_cpu)
        self._generators = generator_states()
        task_of(cfg).check_model(cfg, model)
        check_compilation(cfg, model)
        self._model = freeze(model, cfg.MODEL.FREEZE.NAMES, cfg.MODEL.FREEZE.EXCEPT)

    def _load_weights(self) -> None:
        options = {"eval_only": self.eval_only, "resume": self.resume}
        self.checkpointer = load_start_weights(self.cfg, self._model, self._categories(), **options)

    def _categories(self) -> Categories | None:
        return used_categories(self.cfg, "TEST" if self.eval_only else "TRAIN")

    def _warnings(self) -> tuple[str, ...]:
        training = () if self.eval_only else (*precision_warnings(self.cfg), *trained_twice(self.cfg))
        return (*training, *trained_and_tested(self.cfg, images=not self.eval_only))

    def notes(self) -> tuple[str, ...]:
        """Return messages for the log: a description of the schedule, and the keys that the user set without effect."""
        keys = passed_over(self.cfg, self.written)
        schedule = [f"Schedule: {self._schedule.describe()}"] if self._schedule else []
        unread = (
            [f"These config keys have no effect, because the config does not select their options: {first_few(keys)}"]
            if keys
            else []
        )
        return (*schedule, *unread)
