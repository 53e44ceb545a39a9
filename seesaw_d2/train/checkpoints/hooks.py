"""Write checkpoints periodically, when a signal stops the training, and when a metric improves."""

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
from seesaw_d2.utils.distributed import world_size
from seesaw_d2.utils.messages import shown
from seesaw_d2.weights.checkpoint_io import read_checkpoint, write_checkpoint

logger = logging.getLogger(__name__)

BEST = "model_best.pth"


class CheckpointHook(HookBase):
    """Hook that saves checkpoints every ``period`` iterations, at the end of the training, and on SIGTERM and SIGINT.

    The checkpoint at the end is ``model_final.pth``. All processes need this hook, because a signal to any process
    stops all processes after the same iteration. Register the hook before the evaluation hook and the writers, so that
    a stop does not wait for an evaluation.

    A signal during an evaluation ends the job immediately. Therefore the hook also saves a temporary checkpoint before
    each evaluation, and removes this checkpoint when the next checkpoint is saved.

    Args:
        checkpointer: writer of the checkpoints.
        period: number of iterations between checkpoints.
        keep: number of periodic checkpoints to keep. If 0, the hook keeps all checkpoints.
        eval_period: number of iterations between evaluations. 0 means that the trainer evaluates only at the end.

    Raises:
        Stopped: a process has received a signal, and the checkpoint has been written.
        OutputError: a checkpoint cannot be written.
    """

    def __init__(self, checkpointer: SeesawCheckpointer, period: int, keep: int = 0, eval_period: int = 0):
        self._checkpointer, self._period, self._keep = checkpointer, period, keep
        self._eval_period = eval_period
        # Path of the temporary checkpoint that was saved before an evaluation, or None. The next ``_save`` removes it.
        self._replaced: str | None = None

    def before_step(self) -> None:
        STOP.deferred = True

    def after_step(self) -> None:
        iteration, last = self.trainer.iter, self.trainer.iter >= self.trainer.max_iter - 1
        # All processes must stop after the same iteration. Therefore use ``signalled``, which an all-reduce makes equal
        # in all processes, and not STOP, which knows only the signals of this process.
        stops = STOP.signum is not None if world_size() == 1 else self.trainer.signalled
        due = (iteration + 1) % self._period == 0
        evaluates = self._eval_period > 0 and (iteration + 1) % self._eval_period == 0 and not last
        if stops or last or due or evaluates:
            self.trainer.settle()  # read the remaining losses, and raise an error if too many are not finite
        if due or ((stops or evaluates) and not last):
            self._save(checkpoint_name(iteration), iteration, for_evaluation=not (due or stops))
        if last:
            self._save("model_final", iteration)
        if stops:
            # All processes exit with the same status, even if only one of them has received the signal.
            signum = max(each or 0 for each in comm.all_gather(STOP.signum))
            comm.synchronize()  # wait until the main process has written the checkpoint
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
    """Hook that saves ``model_best.pth``, the weights with the highest value of a metric in all evaluations so far.

    Unlike Detectron2's hook, this hook does not write "model_best.pth" to the file ``last_checkpoint``, from which runs
    resume. In a resumed run, the hook continues with the best value of the interrupted run.

    Args:
        checkpointer: checkpointer with the model and the folder for ``model_best.pth``.
        period: TEST.EVAL_PERIOD. Register the hook after the evaluation hook, which logs the metric.
        metric: logged name of the metric, such as "segm/APr" or, with several datasets, "lvis_v1_val/segm/APr".
    """

    def __init__(self, checkpointer: SeesawCheckpointer, period: int, metric: str):
        super().__init__(period, checkpointer, metric)
        self._path = os.path.join(checkpointer.save_dir, BEST)

    def before_train(self) -> None:
        if not comm.is_main_process() or not os.path.isfile(self._path):
            return
        try:
            state = read_checkpoint(self._path, inspect=True)
        except WeightsError as error:
            logger.warning(f"{error}. Ignoring this file with the best weights of the interrupted run")
            return
        value, iteration = state.get("value"), state.get("iteration")
        if type(value) is not float or type(iteration) is not int or not math.isfinite(value):
            logger.warning(
                f'{self._path}: expected a finite number as "value" and an integer as "iteration", found '
                f"{shown(value)} and {shown(iteration)}. Ignoring this file"
            )
        elif state.get("metric") == self._val_metric and iteration < self.trainer.start_iter:
            self.best_metric, self.best_iter = value, iteration

    def _best_checking(self) -> None:
        if not comm.is_main_process():
            return
        latest = self.trainer.storage.latest()
        if self._val_metric not in latest:
            words = ("/AP", "accuracy", "overall", "sem_seg/")
            known = sorted(name for name in latest if any(word in name for word in words))
            logger.warning(
                f"SOLVER.CHECKPOINT_BEST: expected one of the logged metrics {', '.join(known)}, found "
                f"{self._val_metric!r}. {BEST} is not saved"
            )
            return
        value, iteration = latest[self._val_metric]
        if math.isfinite(value) and (self.best_metric is None or value > self.best_metric):
            self.best_metric, self.best_iter = float(value), int(iteration)
            state = self._checkpointer.model_state() | {"iteration": self.best_iter}
            write_checkpoint(self._path, {**state, "metric": self._val_metric, "value": self.best_metric})
            logger.info(f"Saved the weights with the best {self._val_metric} so far, {value:.4f}, to {self._path}")
