"""Save and restore what Detectron2's checkpoints lack: seeds, positions in the data, logged scalars and the config."""

import logging
from typing import Any

import detectron2
import torch
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import JSONWriter

from seesaw_d2.config.differences import describe, differences, flat_config
from seesaw_d2.data.sampling.seeding import mixed_seed, seed_all
from seesaw_d2.data.sampling.train_loader import TrainLoader
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.train.monitoring import ClassCountHook, PredictionImages
from seesaw_d2.train.resumed_metrics import cut_back, file_size, put_back, recent_scalars
from seesaw_d2.utils.messages import shown
from seesaw_d2.version import __version__

logger = logging.getLogger(__name__)

_STEP = 3  # mixed into the seed of each step, so that a step draws other random numbers than the samplers
# _KINDS maps the required keys of the training state in a checkpoint to the allowed types of their values. _PLACE does
# the same for the position of a data loader, which the training state contains.
_PLACE = {"seed": (int,), "images": (int,)}
_KINDS = {
    "seed": (int,),
    "loader": (dict, type(None)),
    "precise_bn": (list,),
    "world_size": (int,),
    "scalars": (dict,),
    "metrics_size": (int, type(None)),
    "versions": (dict,),
}
# If a resumed run changes the values of these keys, it logs no warning, because they have no effect on the training.
_WITHOUT_EFFECT = (
    *("VERSION", "OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.WEIGHTS_EXCEPT", "DATALOADER.NUM_WORKERS"),
    *("train.output_dir", "train.init_checkpoint", "dataloader.evaluator.output_dir"),
    *("dataloader.train.num_workers", "dataloader.test.num_workers"),
)
# In each iteration, these hooks run after the checkpoint was saved. Therefore a resumed run first runs them once, for
# the last iteration of the checkpoint.
_AFTER_CHECKPOINT = (hooks.EvalHook, hooks.BestCheckpointer, ClassCountHook, PredictionImages, hooks.PeriodicWriter)


class TrainingState(HookBase):
    """Hook that makes a resumed training equal to an uninterrupted training. On a CPU, both are equal bit for bit.

    - Before each step, the hook seeds the random number generators (Python, NumPy, PyTorch on all devices) from SEED,
      iteration and rank. Therefore checkpoints need not contain the generators' states.
    - Detectron2 saves the ``state_dict`` of the hook in the checkpoint under "hooks". The state contains the positions
      of the training loader and of the loader of TEST.PRECISE_BN, the seed (drawn if SEED is -1), the last values of
      logged scalars (for their medians), the size of metrics.json, the config as YAML, and versions of libraries. All
      values have plain Python types.
    - A checkpoint is written before its iteration is evaluated and logged. Therefore a resumed run first truncates
      metrics.json to its size at the checkpoint, then evaluates and logs the checkpoint's iteration.

    If the resumed run will not be bit for bit equal, a warning gives the reason: another seed, batch size, dataset,
    number of processes or PyTorch version, or a checkpoint of Detectron2's trainer. One difference causes no warning.
    With three or more processes, the first resumed step may round differently, because DistributedDataParallel changes
    its gradient buckets after the first step of every run.

    With a sampler that exists only in Detectron2's main branch, a resumed run starts again at the first image.

    A resumed run uses the values of its own config. A warning lists the keys whose values differ from the config in the
    checkpoint, with both values.

    Args:
        loader: the training loader. The hook saves the position of a ``TrainLoader``, but not of other loaders.
        writers: event writers of the run in the main process, or an empty list in other processes.
        seed: SEED. If SEED is negative, the hook draws a seed.
        config: the config as YAML, for the checkpoint.
        folder: OUTPUT_DIR, for messages.
    """

    def __init__(self, loader: Any, writers: list, *, seed: int, config: str, folder: str):
        self._given_seed, self._config, self._folder = seed, config, folder
        self._loader = loader if isinstance(loader, TrainLoader) else None
        self._metrics = next((writer for writer in writers if isinstance(writer, JSONWriter)), None)
        self._loaded: dict[str, Any] | None = None
        if self._loader:
            self._seed = self._loader.seed
        else:
            self._seed = seed if seed >= 0 else comm.shared_random_seed()

    def state_dict(self) -> dict[str, Any]:
        storage = getattr(self.trainer, "storage", None)  # the trainer has no storage before the training starts
        return {
            "seed": self._seed,
            "loader": self._loader.state_dict() if self._loader else None,
            "precise_bn": [loader.state_dict() for loader in self._precise_bn_loaders()],
            "world_size": comm.get_world_size(),
            "scalars": recent_scalars(storage) if storage is not None else {},
            "metrics_size": file_size(self._metrics) if self._metrics else None,
            "config": self._config,
            "versions": _versions(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Store the state until ``before_train``, and log the config keys whose values differ from the checkpoint.

        Raises:
            WeightsError: ``state`` lacks a value that ``state_dict`` returns, or a value has another type.
        """
        _check_state(state, f"{self._folder}: checkpoint key hooks.TrainingState")
        self._loaded = state
        if comm.is_main_process():
            self._tell_changed_keys(state.get("config"))

    def begin_again(self) -> None:
        """Empty metrics.json, for a run with --resume that finds no checkpoint and starts at iteration 0."""
        if self._metrics and file_size(self._metrics):
            cut_back(self._metrics, 0, 0)

    def before_train(self) -> None:
        if self.trainer.start_iter == 0:
            return
        if self._loaded is None:
            self._begin_without_state()
            return
        state, self._loaded = self._loaded, None
        if self._given_seed < 0:
            self._seed = state["seed"]
        if self._loader and state["loader"]:
            self._loader.load_state_dict(state["loader"], seed=self._seed)
        for loader, place in zip(self._precise_bn_loaders(), state["precise_bn"], strict=False):
            loader.load_state_dict(place)
        if comm.is_main_process():
            self._tell_differences(state)
        put_back(self.trainer.storage, state["scalars"])
        if self._metrics and state["metrics_size"] is not None:
            cut_back(self._metrics, state["metrics_size"], self.trainer.start_iter)
        self._finish_iteration()

    def before_step(self) -> None:
        seed_all(mixed_seed(self._seed, self.trainer.iter, comm.get_rank(), _STEP))

    def _precise_bn_loaders(self) -> list[TrainLoader]:
        """Return the loaders of TEST.PRECISE_BN. In each evaluation, they continue after the previously used images."""
        found = [hook._data_loader for hook in self.trainer._hooks if isinstance(hook, hooks.PreciseBN)]
        return [loader for loader in found if isinstance(loader, TrainLoader)]

    def _begin_without_state(self) -> None:
        logger.warning(
            "The checkpoint does not contain the position in the training data, because Detectron2's trainer does not "
            "save it. The position is computed from the iteration of the checkpoint. The image order will differ from "
            "the order in an uninterrupted run"
        )
        if self._loader:
            images = self.trainer.start_iter * self._loader.batch_size
            self._loader.load_state_dict({"images": images}, seed=self._seed)

    def _tell_differences(self, state: dict[str, Any]) -> None:
        """Log a warning if seed, data, number of processes or a library version differs between ``state`` and this run.

        The resumed run will then not be bit for bit equal to an uninterrupted run.
        """
        found = []
        if self._loader and state["loader"]:
            found += self._loader.differences(state["loader"])
        elif state["seed"] != self._seed:
            found.append(f"seed {state['seed']} before, {self._seed} now")
        if state["world_size"] != comm.get_world_size():
            found.append(f"{state['world_size']} processes before, {comm.get_world_size()} now")
        now = _versions()
        found += [
            f"{name} {version} before, {now.get(name)} now"
            for name, version in state["versions"].items()
            if version != now.get(name)
        ]
        if found:
            logger.warning(
                "The resumed run will not be bit for bit equal to an uninterrupted run. Differences: "
                f"{'; '.join(found)}"
            )

    def _tell_changed_keys(self, before: Any) -> None:
        if not isinstance(before, str) or before == self._config:
            return
        entry = f"{self._folder}: checkpoint key hooks.TrainingState.config"
        try:
            pair = flat_config(before, entry), flat_config(self._config, "the config of this run")
        except ConfigError as error:
            logger.warning(f"{error}. The config of the checkpoint cannot be compared with the config of this run")
            return
        if found := differences(*pair, left_out=_WITHOUT_EFFECT):
            logger.warning(
                f"The resumed run uses other values than the config in the checkpoint. Differences: {describe(found)}"
            )

    def _finish_iteration(self) -> None:
        """Evaluate and log the iteration of the checkpoint, because the checkpoint was saved before this was done."""
        trainer, start = self.trainer, self.trainer.start_iter
        trainer.iter = trainer.storage.iter = start - 1
        for hook in trainer._hooks:
            if isinstance(hook, _AFTER_CHECKPOINT):
                hook.after_step()
        trainer.iter = trainer.storage.iter = start


def _check_state(state: Any, where: str) -> None:
    """Raise WeightsError unless ``state`` has all values that ``TrainingState`` needs, with the right types.

    ``where`` is the beginning of the message: the folder and the key of the state in the checkpoint.
    """
    _check_values(state, _KINDS, where)
    if state["seed"] < 0:
        raise WeightsError(f'{where}: "seed": expected an integer >= 0, found {state["seed"]}')
    for place in (*state["precise_bn"], *([] if state["loader"] is None else [state["loader"]])):
        _check_values(place, _PLACE, f"{where}: position of a data loader")


def _check_values(state: Any, kinds: dict[str, tuple[type, ...]], where: str) -> None:
    """Raise WeightsError unless ``state`` is a dict with all keys and types of values in ``kinds``.

    ``kinds`` maps each required key to the allowed types of its value. ``where`` is the beginning of the message.
    """
    if not isinstance(state, dict):
        raise WeightsError(f"{where}: expected a dict, found {shown(state)}")
    for key, types in kinds.items():
        if key not in state or not isinstance(state[key], types):
            expected = " or ".join("None" if each is type(None) else each.__name__ for each in types)
            found = shown(state[key]) if key in state else "no such key"
            raise WeightsError(f'{where}: "{key}": expected a value of type {expected}, found {found}')


def _versions() -> dict[str, str]:
    return {
        "torch": str(torch.__version__),
        "detectron2": detectron2.__version__,
        "seesaw_d2": __version__,
    }
