import logging

import pytest

from seesaw_d2.data.records.cache import store


@pytest.fixture
def caplog(caplog, monkeypatch):
    """As pytest's, also after Detectron2's setup_logger, which ends propagation, has run in this process."""
    monkeypatch.setattr(logging.getLogger("seesaw_d2"), "propagate", True)
    return caplog


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of compiled annotation files, which files of any size go to."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEESAW_D2_CACHE", str(folder))
    monkeypatch.setattr(store, "MIN_SIZE", 0)
    store._opened.clear()
    yield folder
    store._opened.clear()
