"""How a training ends that was not to end yet."""

from detectron2.engine import TrainerBase
from detectron2.engine.hooks import PeriodicWriter

from seesaw_d2.train.launch.signals import STOP


class EndsEarly(TrainerBase):
    """Mixed into a trainer of Detectron2, before it."""

    def after_train(self):
        """As in Detectron2 after all iterations. After fewer of them (a failure, a stop) what was logged is written,
        and nothing is evaluated: other processes may be no more."""
        STOP.deferred = False
        if self.iter >= self.max_iter:
            # A run that is resumed after its last step has none left, and Detectron2 counts one more nonetheless.
            self.iter = self.max_iter
            super().after_train()
            return
        self.storage.iter = self.iter
        for hook in self._hooks:
            if isinstance(hook, PeriodicWriter):
                hook.after_train()
