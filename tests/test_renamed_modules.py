"""Test that old names of public modules can be imported, with a warning that contains the new name."""

import importlib
import sys

import pytest

from seesaw_d2.renamed_modules import RENAMED


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_the_new_module(old, new, monkeypatch):
    for name in RENAMED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.warns(FutureWarning, match=new.replace(".", r"\.")):
        module = importlib.import_module(old)
    assert module is importlib.import_module(new)


def test_names_below_an_old_package():
    from seesaw_d2.engine import Trainer, load_config
    from seesaw_d2.engine.predictor import BatchPredictor

    assert Trainer.__module__ == "seesaw_d2.train.trainer"
    assert load_config.__module__ == "seesaw_d2.config.loading"
    assert BatchPredictor.__module__ == "seesaw_d2.predict.predictor"
