"""Record in the results folders of a run that the results come from an iteration before the end of the training.

Such results remain in two situations. A job was killed after it had saved model_final.pth, but before the end of the
last evaluation. Or a run was resumed, and has not been evaluated since.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm

from seesaw_d2.evaluation.build import results_folder
from seesaw_d2.evaluation.evaluation_settings import SETTINGS_FILE
from seesaw_d2.evaluation.results_files import write_json


class UnfinishedResults(HookBase):
    """Hook that records in the results folders after how many iterations the run was evaluated.

    Register this hook after the evaluation hook. The evaluation at the end of the training removes the record.

    Args:
        folders: folders that contain a results.json after an evaluation.
        period: number of iterations between evaluations. 0 means that the trainer evaluates only at the end.
        key: config key with the number of iterations of the whole training, for the record.
    """

    def __init__(self, folders: Sequence[str], period: int, key: str = "SOLVER.MAX_ITER"):
        self._folders, self._period, self._key = folders, period, key

    @classmethod
    def of(cls, cfg: CfgNode) -> UnfinishedResults:
        """Return the hook for a YAML config, with the results folders of all datasets in DATASETS.TEST."""
        kinds = ("inference", "inference_TTA")
        folders = [results_folder(cfg, name, kind) for name in cfg.DATASETS.TEST for kind in kinds]
        return cls(folders, cfg.TEST.EVAL_PERIOD)

    def before_train(self) -> None:
        start = self.trainer.start_iter
        if 0 < start < self.trainer.max_iter:
            recorded = [folder for folder in self._folders if os.path.exists(os.path.join(folder, SETTINGS_FILE))]
            self._record(f"{start} or fewer", except_in=recorded)

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done < self.trainer.max_iter:
            self._record(str(done))

    def _record(self, done: str, except_in: Sequence[str] = ()) -> None:
        for folder in self._folders if comm.is_main_process() else ():
            if folder not in except_in and os.path.isfile(os.path.join(folder, "results.json")):
                write_json(os.path.join(folder, SETTINGS_FILE), {self._key: [str(self.trainer.max_iter), done]})
