"""Define ``Trainer``: Detectron2's DefaultTrainer with this project's data, evaluation and checkpoints."""

import logging
import os
import weakref

from detectron2.engine import DefaultTrainer
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer
from detectron2.engine.train_loop import TrainerBase
from detectron2.modeling import GeneralizedRCNNWithTTA
from detectron2.solver import LRMultiplier
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn

from seesaw_d2.data.records.catalog import class_names, load_dataset
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.box_classification import classify_ground_truth, write_box_classification
from seesaw_d2.evaluation.build import build_evaluator, results_folder
from seesaw_d2.evaluation.category_frequency import evaluated_groups
from seesaw_d2.evaluation.earlier_results import replacing_results
from seesaw_d2.evaluation.evaluation_settings import Differences, recorded_settings
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.modeling.building import own_program
from seesaw_d2.modeling.freeze import freeze
from seesaw_d2.train.acceleration import accelerate, amp_dtype, set_implementation
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.checkpoints.hooks import BestCheckpoint, CheckpointHook
from seesaw_d2.train.checkpoints.training_state import TrainingState
from seesaw_d2.train.early_end import EndsEarly
from seesaw_d2.train.launch.signals import STOP
from seesaw_d2.train.monitoring import extra_writers, monitoring_hooks
from seesaw_d2.train.preflight.categories import used_categories
from seesaw_d2.train.preflight.schedule import scale_to_processes
from seesaw_d2.train.step import Step
from seesaw_d2.train.tasks import task_of
from seesaw_d2.train.unfinished_results import UnfinishedResults
from seesaw_d2.utils.distributed import broadcast_buffers, distributed, unwrapped


class Trainer(EndsEarly, DefaultTrainer):
    """Trainer that builds, trains and evaluates the model of a config.

    Args:
        cfg: a config with this project's keys.
        model: a model built from ``cfg`` and frozen according to MODEL.FREEZE. If None, the trainer builds the model.
    """

    def __init__(self, cfg, model: nn.Module | None = None):
        # Do not call DefaultTrainer.__init__, which supports several processes only on GPUs.
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):  # true if the program has not set up logging
            setup_logger()
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg, model)
        optimizer = self.build_optimizer(cfg, model)
        loader = self.build_train_loader(cfg)
        model = distributed(model)
        self._trainer = Step(
            model,
            loader,
            optimizer,
            folder=cfg.OUTPUT_DIR,
            max_skipped=cfg.SOLVER.MAX_SKIPPED_STEPS,
            amp=amp_dtype(cfg),
            metrics_period=cfg.SOLVER.METRICS_PERIOD,
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = SeesawCheckpointer(
            model,
            cfg.OUTPUT_DIR,
            left_out=cfg.MODEL.WEIGHTS_EXCEPT,
            categories=used_categories(cfg, "TRAIN"),
            trainer=weakref.proxy(self),
        )
        self.start_iter, self.max_iter, self.cfg = 0, cfg.SOLVER.MAX_ITER, cfg
        self.register_hooks(self.build_hooks())

    @staticmethod
    def auto_scale_workers(cfg, num_workers):
        """Return a copy of the config with batch size and schedule scaled to ``num_workers`` processes.

        Return ``cfg`` itself if SOLVER.REFERENCE_WORLD_SIZE requires no scaling.
        """
        scaled = cfg.clone()
        scaled.defrost()
        if not scale_to_processes(scaled, num_workers):
            return cfg
        if cfg.is_frozen():
            scaled.freeze()
        return scaled

    @classmethod
    def build_model(cls, cfg, model: nn.Module | None = None):
        """Build the model, freeze the parameters that MODEL.FREEZE selects, and apply the keys for faster training.

        Args:
            cfg: the config.
            model: a built and frozen model, which this method then only prepares for faster training. If None, the
                method builds and freezes a model.
        """
        if model is None:
            with own_program():
                model = super().build_model(cfg)
            freeze(model, cfg.MODEL.FREEZE.NAMES, cfg.MODEL.FREEZE.EXCEPT)
        else:
            logging.getLogger("detectron2.engine.defaults").info(f"Model:\n{model}")
        if cfg.MODEL.FREEZE.NAMES:
            trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
            logging.getLogger(__name__).info(f"MODEL.FREEZE: the training updates only {', '.join(trained)}")
        return accelerate(model, cfg)

    @classmethod
    def build_optimizer(cls, cfg, model):
        return set_implementation(super().build_optimizer(cfg, model), cfg)

    @classmethod
    def build_train_loader(cls, cfg):
        return task_of(cfg).build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return task_of(cfg).build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        folder = output_folder or results_folder(cfg, dataset_name)
        return replacing_results(folder, build_evaluator(cfg, dataset_name, folder))

    @classmethod
    def test(cls, cfg, model, evaluators=None, settings: Differences | None = None):
        """Evaluate as Detectron2 does, and write the metrics to ``inference/<dataset>/results.json``.

        The statistics of batch normalization differ between processes. Therefore all processes use the buffers of the
        main process, which checkpoints also contain. Evaluators get the model without DistributedDataParallel.

        Args:
            cfg, model, evaluators: as in Detectron2's ``DefaultTrainer.test``.
            settings: differences between this evaluation and the run in OUTPUT_DIR, a dict from config key to (value in
                the run, value in the evaluation). The method stores them beside the results. None if nothing differs.
        """
        model = unwrapped(model)
        with STOP.at_once():
            results = cls._test(cfg, model, evaluators, "inference", settings)
            if cfg.TEST.CLASSIFICATION_ACCURACY:
                for name in cfg.DATASETS.TEST:
                    found = classify_ground_truth(model, cls.build_test_loader(cfg, name), load_dataset(name))
                    if found is not None:
                        folder = results_folder(cfg, name)
                        groups = evaluated_groups(cfg, name)
                        write_box_classification(found, class_names(name), groups, folder)
        return results

    @classmethod
    def test_with_TTA(cls, cfg, model, settings: Differences | None = None):
        """Evaluate with test-time augmentation (TEST.AUG), and write results to the folder ``inference_TTA``.

        As in Detectron2's train_net.py, "_TTA" is appended to the names in the returned results, as in "bbox_TTA".
        ``settings`` are differences from the run in OUTPUT_DIR, as in ``test``.
        """
        augmented = GeneralizedRCNNWithTTA(cfg, unwrapped(model))
        kind = "inference_TTA"
        with STOP.at_once():
            evaluators = [cls.build_evaluator(cfg, name, results_folder(cfg, name, kind)) for name in cfg.DATASETS.TEST]
            results = cls._test(cfg, augmented, evaluators, kind, settings)
        return {f"{name}_TTA": values for name, values in results.items()}

    @classmethod
    def _test(cls, cfg, model, evaluators, kind, settings):
        names = cfg.DATASETS.TEST if comm.is_main_process() else ()
        folders = {name: results_folder(cfg, name, kind) for name in names}
        with recorded_settings(folders.values(), settings):
            broadcast_buffers(model)
            results = super().test(cfg, model, evaluators)
            for name, folder in folders.items():
                write_json(os.path.join(folder, "results.json"), results if len(folders) == 1 else results[name])
        return results

    def build_hooks(self):
        solver = self.cfg.SOLVER
        hooks = [hook for hook in super().build_hooks() if not isinstance(hook, PeriodicCheckpointer)]
        place = next(index for index, hook in enumerate(hooks) if isinstance(hook, EvalHook))
        evaluation = self.cfg.TEST.EVAL_PERIOD if self.cfg.DATASETS.TEST else 0
        saves = CheckpointHook(self.checkpointer, solver.CHECKPOINT_PERIOD, solver.CHECKPOINT_KEEP, evaluation)
        hooks.insert(place, saves)
        if self.cfg.TEST.AUG.ENABLED and self.cfg.DATASETS.TEST:
            place = next(index for index, hook in enumerate(hooks) if isinstance(hook, EvalHook)) + 1
            # The period 0 runs the evaluation with test-time augmentation only once, at the end of the training.
            hooks.insert(place, EvalHook(0, lambda: self.test_with_TTA(self.cfg, self.model)))
        extra = monitoring_hooks(self.cfg, self.model, lambda name: self.build_test_loader(self.cfg, name))
        extra.insert(0, UnfinishedResults.of(self.cfg))
        if solver.CHECKPOINT_BEST:
            extra.insert(0, BestCheckpoint(self.checkpointer, self.cfg.TEST.EVAL_PERIOD, solver.CHECKPOINT_BEST))
        # Insert the hooks before PeriodicWriter, the last hook of the main process, which writes the logged values.
        place = len(hooks) - 1 if comm.is_main_process() else len(hooks)
        self._training_state = TrainingState(
            self._trainer.data_loader,
            getattr(self, "_writers", []),
            seed=self.cfg.SEED,
            config=self.cfg.dump(),
            folder=self.cfg.OUTPUT_DIR,
        )
        return [*hooks[:place], *extra, *hooks[place:], self._training_state]

    def settle(self):
        """Read and log the losses that the host has not read yet. All processes must call this method."""
        self._trainer.settle()

    @property
    def signalled(self) -> bool:
        """Return whether any process has received SIGTERM or SIGINT. The value is equal in all processes.

        The processes exchange the value together with their losses. It changes when the host reads the losses.
        """
        return self._trainer.signalled

    def resume_or_load(self, resume=True):
        super().resume_or_load(resume)
        starts = comm.all_gather(self.start_iter)
        if len(set(starts)) > 1:
            raise ConfigError(
                "OUTPUT_DIR: expected the same checkpoint in all processes with --resume, found checkpoints that "
                f"continue at different iterations: {', '.join(map(str, starts))}. Use a folder on a shared disk."
            )
        if resume and self.start_iter == 0:
            self._training_state.begin_again()

    def build_writers(self):
        self._writers = extra_writers(self.cfg) + super().build_writers()
        return self._writers

    def state_dict(self):
        state = super().state_dict()
        # Detectron2 v0.6 does not save the optimizer state. Save it, because a resumed run needs the momentum.
        state.setdefault("_trainer", self._trainer.state_dict())
        return state

    def load_state_dict(self, state_dict):
        optimizer_state, base_lrs = state_dict.get("_trainer"), self.scheduler.base_lrs
        TrainerBase.load_state_dict(self, state_dict)
        self.scheduler.base_lrs = base_lrs  # keep the learning rates of this config, not those of the checkpoint
        if optimizer_state is None:
            logging.getLogger(__name__).warning(
                "The checkpoint has no optimizer state, because Detectron2 v0.6 does not save it. Momentum starts at 0"
            )
        else:
            self._trainer.load_state_dict(optimizer_state)
        if isinstance(self.scheduler, LRMultiplier):  # needed, because the scheduler sets lr only after a step
            for group, lr in zip(self._trainer.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
                group["lr"] = lr
