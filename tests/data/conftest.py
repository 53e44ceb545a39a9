import logging

import pytest

from seesaw_d2.data.records.cache import store


@pytest.fixture
def caplog(caplog, monkeypatch):
    """Provide pytest's caplog, which also works after Detectron2's setup_logger disabled propagation."""
    monkeypatch.setattr(logging.getLogger("seesaw_d2"), "propagate", True)
    return caplog


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Provide an empty annotation cache that accepts files of any size."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEESAW_D2_CACHE", str(folder))
    monkeypatch.setattr(store, "MIN_SIZE", 0)
    store._opened.clear()
    yield folder
    store._opened.clear()
