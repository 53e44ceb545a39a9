"""Test that the package can be imported without modules that only POSIX systems have, as on Windows."""

import ast
import sys
from pathlib import Path

import pytest

from seesaw_d2.data.records.cache import entry_files
from seesaw_d2.train.launch.signals import signals_blocked
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.utils import file_locks

PACKAGE = Path(file_locks.__file__).parents[1]
POSIX = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}


def imported(path):
    """Return the modules that the file at ``path`` imports outside functions and ``try``."""
    pending, names = list(ast.parse(path.read_text()).body), set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
        elif isinstance(node, (ast.If, ast.With, ast.ClassDef)):
            pending += ast.iter_child_nodes(node)
    return names


def test_no_module_needs_posix_to_be_imported():
    found = {path.relative_to(PACKAGE).as_posix(): imported(path) & POSIX for path in PACKAGE.rglob("*.py")}
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.fixture
def no_fcntl(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(file_locks, "_warn_no_locks", file_locks.functools.cache(file_locks._warn_no_locks.__wrapped__))


def test_nothing_is_locked_without_fcntl_which_is_said_once(tmp_path, no_fcntl, caplog):
    lock = RunLock(str(tmp_path))
    lock.check()
    lock.acquire()
    lock.check()
    lock.release()
    with entry_files.locked(str(tmp_path / "a")):
        pass
    assert [record.levelname for record in caplog.records if "fcntl" in record.message] == ["WARNING"]


def test_signals_without_masks(monkeypatch):
    monkeypatch.delattr("signal.pthread_sigmask")
    with signals_blocked():
        pass
