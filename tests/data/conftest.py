import logging

import pytest


@pytest.fixture
def caplog(caplog, monkeypatch):
    """As pytest's, also after Detectron2's setup_logger, which ends propagation, has run in this process."""
    monkeypatch.setattr(logging.getLogger("seesaw_d2"), "propagate", True)
    return caplog
