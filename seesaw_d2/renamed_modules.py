"""Keep the old names of renamed public modules importable for one minor version, with a warning."""

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Maps the old name of each renamed module to its new name. The modules were renamed in version 0.2. Version 0.3 will
# remove the old names.
RENAMED = {
    "seesaw_d2.conversion": "seesaw_d2.weights.converters",
    "seesaw_d2.data.exports": "seesaw_d2.data.labelling_tools.prepare_export",
    "seesaw_d2.data.lazy": "seesaw_d2.data.sampling.lazyconfig_loader",
    "seesaw_d2.data.registration": "seesaw_d2.data.records.registration",
    "seesaw_d2.data.statistics": "seesaw_d2.data.records.statistics",
    "seesaw_d2.data.train_loader": "seesaw_d2.data.sampling.train_loader",
    "seesaw_d2.engine": "seesaw_d2.train",
    "seesaw_d2.engine.config": "seesaw_d2.config.loading",
    "seesaw_d2.engine.lazy": "seesaw_d2.train.lazyconfig.job",
    "seesaw_d2.engine.lazy_config": "seesaw_d2.train.lazyconfig.loading",
    "seesaw_d2.engine.predictor": "seesaw_d2.predict.predictor",
}


class _RenamedModule(Loader):
    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = RENAMED[old]
        message = f"{old} is deprecated and will be removed in version 0.3. Use {new} instead."
        warnings.warn(message, FutureWarning, stacklevel=6)
        sys.modules[old] = importlib.import_module(new)


class _RenamedFinder(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        return ModuleSpec(fullname, _RenamedModule()) if fullname in RENAMED else None


def install() -> None:
    """Make the modules in ``RENAMED`` importable under their old names. Repeated calls have no effect."""
    if not any(isinstance(finder, _RenamedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _RenamedFinder())
