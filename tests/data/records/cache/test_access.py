"""Test the annotation cache with other users, folders without write access, and a full disk."""

import grp
import os
import pwd
from types import SimpleNamespace

import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.cache import store
from seesaw_d2.data.records.cache.entry_files import foreign_owner
from seesaw_d2.data.records.cache.store import open_annotations
from tests.data.records.cache.test_store import entries_of
from tests.data.toy import everything, write

pytestmark = pytest.mark.usefixtures("cache")


def test_other_users_can_neither_read_nor_write(tmp_path, cache):
    open_annotations(write(tmp_path, everything()))
    (kept,) = entries_of(cache)
    assert [path.stat().st_mode & 0o777 for path in (kept.parent, kept)] == [0o700, 0o600]


def name_group(monkeypatch, name: str, members=()) -> None:
    """Replace the name and the members of this process's group."""
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name=name, gr_mem=list(members)))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_cache_that_others_can_write_to_is_not_used(tmp_path, cache, caplog, mode, monkeypatch):
    name_group(monkeypatch, "staff")
    path = write(tmp_path, everything())
    expected = list(open_annotations(path).to_dataset_dicts("root"))
    (cache / "annotations").chmod(mode)
    before = {each.name: each.stat().st_mtime_ns for each in entries_of(cache)}
    store._opened.clear()
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected
    assert {each.name: each.stat().st_mtime_ns for each in entries_of(cache)} == before
    assert f"{mode:o}" in caplog.text
    assert str(cache) in caplog.text


def test_a_users_private_group_may_write(tmp_path, cache, monkeypatch, no_parsing):
    """Test write access of a group whose only member is the user. With umask 002, folders of users have this mode."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    open_annotations(write(tmp_path, everything()))
    for path in (cache / "annotations", *entries_of(cache)):
        path.chmod(0o770)
    for members, foreign in (([], ""), ([user], ""), ([user, "other"], "770")):
        name_group(monkeypatch, user, members)
        assert foreign in foreign_owner(str(cache / "annotations"))
        assert bool(foreign) == bool(foreign_owner(str(cache / "annotations")))
    name_group(monkeypatch, user)
    no_parsing()
    store._opened.clear()
    open_annotations(str(tmp_path / "toy.json"))


def test_a_cache_of_another_user_is_not_used(tmp_path, cache, caplog, monkeypatch):
    path = write(tmp_path, everything())
    open_annotations(path)
    store._opened.clear()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # all users trust files of root
        os.chown(cache / "annotations", 12345, -1)
    records = open_annotations(path).to_dataset_dicts("root")
    assert list(records) == read_annotations(path).to_dataset_dicts("root")
    assert str(cache) in caplog.text


def test_a_folder_that_cannot_be_written(tmp_path, caplog, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SEESAW_D2_CACHE", str(blocked))
    path = write(tmp_path, everything())
    expected = read_annotations(path).to_dataset_dicts("root")
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected
    assert str(blocked) in caplog.text
    assert "SEESAW_D2_CACHE" in caplog.text


def test_a_full_disk_leaves_nothing_behind(tmp_path, cache, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = write(tmp_path, everything())
    expected = read_annotations(path).to_dataset_dicts("root")
    read = iter([store.read_tables])  # once, because it takes minutes
    monkeypatch.setattr(store, "read_tables", lambda *args: next(read)(*args))
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected
    assert entries_of(cache) == []
