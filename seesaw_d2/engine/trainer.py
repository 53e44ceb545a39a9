"""Detectron2's default trainer with this project's data, evaluation and checkpoints."""

import logging
import os
import weakref

from detectron2.engine import DefaultTrainer
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm

from seesaw_d2.engine.checkpointing import SeesawCheckpointer
from seesaw_d2.engine.monitoring import extra_writers, monitoring_hooks
from seesaw_d2.engine.tasks import task_of
from seesaw_d2.errors import WeightsError
from seesaw_d2.evaluation import build_evaluator
from seesaw_d2.evaluation.box_classification import evaluate_box_classification
from seesaw_d2.evaluation.results import write_json
from seesaw_d2.modeling import freeze


class Trainer(DefaultTrainer):
    """Trains and evaluates what a config describes."""

    @classmethod
    def build_model(cls, cfg):
        model = freeze(super().build_model(cfg), cfg.MODEL.FREEZE.NAMES, cfg.MODEL.FREEZE.EXCEPT)
        if cfg.MODEL.FREEZE.NAMES:
            trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
            logging.getLogger(__name__).info(f"Frozen by MODEL.FREEZE; trained: {', '.join(trained)}")
        return model

    @classmethod
    def build_train_loader(cls, cfg):
        return task_of(cfg).build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return task_of(cfg).build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        return build_evaluator(cfg, dataset_name, output_folder)

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """As in Detectron2, and the metrics of each data set to ``inference/<data set>/results.json``."""
        results = super().test(cfg, model, evaluators)
        if cfg.TEST.CLASSIFICATION_ACCURACY:
            for name in cfg.DATASETS.TEST:
                loader = cls.build_test_loader(cfg, name)
                evaluate_box_classification(cfg, model, loader, name)
        if comm.is_main_process():
            single = len(cfg.DATASETS.TEST) == 1
            for name in cfg.DATASETS.TEST:
                _save_results(results if single else results[name], cfg, name)
        return results

    def build_hooks(self):
        # The base class makes its checkpointer just before it asks for the hooks, which keep a reference to it.
        self.checkpointer = SeesawCheckpointer(
            self.model, self.cfg.OUTPUT_DIR, left_out=self.cfg.MODEL.WEIGHTS_EXCEPT, trainer=weakref.proxy(self)
        )
        hooks = super().build_hooks()
        extra = monitoring_hooks(self.cfg, self.model, lambda name: self.build_test_loader(self.cfg, name))
        # Detectron2's last hook, in the main process, writes what the others have logged.
        place = len(hooks) - 1 if comm.is_main_process() else len(hooks)
        return hooks[:place] + extra + hooks[place:]

    def build_writers(self):
        return extra_writers(self.cfg) + super().build_writers()

    def state_dict(self):
        state = super().state_dict()
        # Detectron2 v0.6 leaves the optimizer out, and so loses its momentum in every resume; main has it here.
        state.setdefault("_trainer", self._trainer.state_dict())
        return state

    def load_state_dict(self, state_dict):
        state = dict(state_dict)
        optimizer_state = state.pop("_trainer", None)
        TrainerBase.load_state_dict(self, state)
        if optimizer_state is None:
            logging.getLogger(__name__).warning(
                "The checkpoint has no optimizer state (Detectron2 v0.6 writes none): its momentum starts at 0."
            )
        else:
            try:
                self._trainer.load_state_dict(optimizer_state)
            except ValueError as error:
                raise WeightsError(
                    f"{self.checkpointer.save_dir}: the run's optimizer has other parameters than this config's; "
                    f"resume with the MODEL.FREEZE and SOLVER that it was started with: {error}"
                ) from error


def _save_results(results: dict, cfg, dataset_name: str) -> None:
    write_json(os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name, "results.json"), results)
