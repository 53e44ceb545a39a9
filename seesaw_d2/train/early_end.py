"""End a training early, after an error or a signal."""

from typing import Any

from detectron2.engine.hooks import PeriodicWriter
from detectron2.engine.train_loop import TrainerBase

from seesaw_d2.train.launch.signals import STOP


class EndsEarly(TrainerBase):
    """Mixin that runs only the metric writers if a training stops early. List it first among the base classes."""

    def after_train(self):
        """Run all hooks if the training has finished. If an error or a signal has ended it, only write metrics."""
        STOP.deferred = False
        if self.iter >= self.max_iter:
            # If a run is resumed after its last iteration, Detectron2's count of iterations is too large by one.
            self.iter = self.max_iter
            super().after_train()
            return
        self.storage.iter = self.iter
        for hook in self._hooks:
            if isinstance(hook, PeriodicWriter):  # other hooks, such as evaluations, may wait for terminated processes
                hook.after_train()
        _end_workers(getattr(self, "_trainer", self))


def _end_workers(step: Any) -> None:
    """End the worker processes that load images. The traceback of the error would otherwise keep them alive.

    Args:
        step: trainer that reads the batches, a subclass of Detectron2's ``SimpleTrainer``.
    """
    values = vars(step)
    # The first attribute exists in Detectron2's main branch, the second one in v0.6.
    batches = values.get("_data_loader_iter_obj") or values.get("_data_loader_iter")
    if hasattr(batches, "close"):  # a generator, such as that of TrainLoader
        batches.close()
