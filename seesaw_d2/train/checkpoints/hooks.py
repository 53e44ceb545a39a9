"""When a training writes checkpoints: periodically, when it is told to stop, and when it is better than before."""

import contextlib
import logging
import math
import os

from detectron2.engine import HookBase, hooks
from detectron2.utils import comm

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.checkpoints.resume_files import checkpoint_name, keep_newest
from seesaw_d2.train.launch.signals import STOP, Stopped
from seesaw_d2.utils.distributed import any_process
from seesaw_d2.weights.checkpoint_io import read_checkpoint, write_checkpoint

logger = logging.getLogger(__name__)

BEST = "model_best.pth"


class CheckpointHook(HookBase):
    """Checkpoints every ``period`` iterations, and ``model_final.pth``, as Detectron2's; and on SIGTERM and SIGINT.

    All processes have it, as they agree on the iteration after which they stop: any that got a signal stops all. It
    stands before evaluation and writers: a checkpoint is that of an iteration's end, and a stop does not wait for an
    evaluation. An evaluation ends at once when a signal comes, in any process and at any moment, so the iterations
    before it are saved too, in a checkpoint that the next one replaces.

    Args:
        keep: how many of the periodic checkpoints stay; 0 for all.
        eval_period: iterations from one evaluation to the next; 0: none before the end.

    Raises:
        Stopped: after the checkpoint is written. OutputError: it cannot be.
    """

    def __init__(self, checkpointer: SeesawCheckpointer, period: int, keep: int = 0, eval_period: int = 0):
        self._checkpointer, self._period, self._keep = checkpointer, period, keep
        self._eval_period = eval_period
        # The last checkpoint, if it was written for an evaluation alone.
        self._replaced: str | None = None

    def before_step(self) -> None:
        STOP.deferred = True

    def after_step(self) -> None:
        iteration, last = self.trainer.iter, self.trainer.iter >= self.trainer.max_iter - 1
        stops = any_process(STOP.signum is not None)
        due = (iteration + 1) % self._period == 0
        evaluates = self._eval_period > 0 and (iteration + 1) % self._eval_period == 0 and not last
        if stops or last or due or evaluates:
            self.trainer.settle()  # a step that ends the run is not saved as one that was taken
        if due or ((stops or evaluates) and not last):
            self._save(checkpoint_name(iteration), iteration, for_evaluation=not (due or stops))
        if last:
            self._save("model_final", iteration)
        if stops:
            # A process that got no signal stops with the others', whose number it does not know.
            signum = max(each or 0 for each in comm.all_gather(STOP.signum))
            comm.synchronize()  # all of it is on the disk
            raise Stopped(signum, iteration)

    def after_train(self) -> None:
        STOP.deferred = False

    def _save(self, name: str, iteration: int, *, for_evaluation: bool = False) -> None:
        self._checkpointer.save(name, iteration=iteration)
        if not comm.is_main_process():
            return
        if self._replaced is not None:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._replaced)
        self._replaced = os.path.join(self._checkpointer.save_dir, f"{name}.pth") if for_evaluation else None
        if not for_evaluation:
            keep_newest(self._checkpointer.save_dir, iteration, self._keep)


class BestCheckpoint(hooks.BestCheckpointer):
    """``model_best.pth``: the weights with the highest value of a metric in the evaluations so far.

    Unlike Detectron2's it does not become the last checkpoint, from which a training would resume, and it is compared
    with the file that an interrupted run has left.

    Args:
        period: TEST.EVAL_PERIOD. The hook stands after the evaluation.
        metric: as it is logged: "segm/APr", with several data sets "lvis_v1_val/segm/APr".
    """

    def __init__(self, checkpointer: SeesawCheckpointer, period: int, metric: str):
        super().__init__(period, checkpointer, metric)
        self._path = os.path.join(checkpointer.save_dir, BEST)

    def before_train(self) -> None:
        if not comm.is_main_process() or not os.path.isfile(self._path):
            return
        try:
            state = read_checkpoint(self._path)
        except WeightsError as error:
            logger.warning(f"{error}; the best checkpoint is chosen anew")
            return
        value, iteration = state.get("value"), state.get("iteration")
        if type(value) is not float or type(iteration) is not int or not math.isfinite(value):
            found = f"{type(value).__name__} and {type(iteration).__name__}"
            logger.warning(f"{self._path}: expected a finite value and an iteration, found {found}; it is chosen anew")
        elif state.get("metric") == self._val_metric and iteration < self.trainer.start_iter:
            self.best_metric, self.best_iter = value, iteration

    def _best_checking(self) -> None:
        if not comm.is_main_process():
            return
        latest = self.trainer.storage.latest()
        if self._val_metric not in latest:
            known = sorted(name for name in latest if "/AP" in name or "accuracy" in name or "overall" in name)
            logger.warning(
                f"SOLVER.CHECKPOINT_BEST: no metric {self._val_metric!r} was logged; {', '.join(known)} were"
            )
            return
        value, iteration = latest[self._val_metric]
        if math.isfinite(value) and (self.best_metric is None or value > self.best_metric):
            self.best_metric, self.best_iter = float(value), int(iteration)
            state = self._checkpointer.model_state() | {"iteration": self.best_iter}
            write_checkpoint(self._path, {**state, "metric": self._val_metric, "value": self.best_metric})
            logger.info(f"Best {self._val_metric} so far, {value:.4f}, saved to {self._path}")
