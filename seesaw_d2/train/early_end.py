"""End a training after an error or a signal: write the metrics, and skip all other hooks."""

from typing import Any

from detectron2.engine.hooks import PeriodicWriter
from detectron2.engine.train_loop import TrainerBase

from seesaw_d2.train.launch.signals import STOP


class EndsEarly(TrainerBase):
    """Mixin for trainers of Detectron2. If a training stops early, only the hooks that write metrics run at its end.

    List this class first among the base classes, so that its ``after_train`` replaces the method of the trainer.
    """

    def after_train(self):
        """Run all hooks if the training has finished. If an error or a signal has ended it, only write metrics."""
        STOP.deferred = False
        if self.iter >= self.max_iter:
            # If a run was resumed after its last iteration, Detectron2 has set ``self.iter`` to max_iter + 1.
            self.iter = self.max_iter
            super().after_train()
            return
        self.storage.iter = self.iter
        for hook in self._hooks:
            if isinstance(hook, PeriodicWriter):  # other hooks could wait for terminated processes
                hook.after_train()
        _end_workers(getattr(self, "_trainer", self))


def _end_workers(step: Any) -> None:
    """End the worker processes that load images. Otherwise the traceback of the error would keep the workers alive.

    Args:
        step: trainer that reads the batches from the data loader, a subclass of Detectron2's ``SimpleTrainer``.
    """
    values = vars(step)
    # Detectron2's main branch stores the iterator over the batches in the first attribute, v0.6 in the second one.
    batches = values.get("_data_loader_iter_obj") or values.get("_data_loader_iter")
    if hasattr(batches, "close"):  # TrainLoader uses a generator, which ends its workers when closed
        batches.close()
