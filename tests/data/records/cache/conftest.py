import pytest

from seesaw_d2.data.records.cache import store


@pytest.fixture
def no_parsing(monkeypatch):
    return lambda: monkeypatch.setattr(store, "read_tables", lambda *a: pytest.fail("the file was parsed"))
