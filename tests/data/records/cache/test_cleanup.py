"""Test the names of cached annotation files, and how long the cache keeps files."""

import os
import shutil
import time
from pathlib import Path

import pytest

from seesaw_d2.data.records.cache import store
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.errors import DataError
from tests.data.records.cache.test_store import entries_of
from tests.data.toy import everything, toy_data, write

pytestmark = pytest.mark.usefixtures("cache")


def age(path: Path, days: float) -> None:
    then = time.time() - days * 24 * 3600
    os.utime(path, (then, then))


def test_what_nobody_uses_goes_when_something_new_is_kept(tmp_path, cache):
    path = write(tmp_path, everything())
    open_annotations(path)
    (first,) = entries_of(cache)
    own = ("tmp-abcdefgh.records", "tmp-ab_defg9.records", f"{'0123456789abcdef' * 2}.records")
    users = [cache / "annotations" / name for name in ("my_notes.records", "tmp-12345678.txt", "abc.lock")]
    unfinished, recent, other = (cache / "annotations" / name for name in own)
    for each in (unfinished, recent, other, *users):
        each.touch()
    earlier, notes = (cache / "annotations" / name for name in ("fedcba9876543210" * 2, "tmp-my_notes"))
    for folder, name in ((earlier, "meta.json"), (notes, "notes.txt")):
        folder.mkdir()
        (folder / name).touch()
    unused = (other, earlier, notes, *users)
    for each, days in ((first, 59), (unfinished, 2), (recent, 0.5), *((each, 99) for each in unused)):
        age(each, days)
    open_annotations(write(tmp_path, toy_data(3), "second.json"))
    assert [each.exists() for each in (first, recent, unfinished, other, earlier)] == [True, True, False, False, False]
    assert all(each.exists() for each in (notes, *users))  # files of other programs stay
    # A file that is used is kept.
    age(first, 61)
    store._opened.clear()
    open_annotations(path)
    open_annotations(write(tmp_path, toy_data(2), "third.json"))
    assert first.exists()
    age(first, 61)
    open_annotations(write(tmp_path, toy_data(1), "fourth.json"))
    assert not first.exists()
    assert not Path(f"{first}.lock").exists()


def test_another_version_of_the_code_that_checks_reads_anew(tmp_path, cache, monkeypatch):
    path = write(tmp_path, everything())
    open_annotations(path)
    store._opened.clear()
    copy = tmp_path / "records"
    shutil.copytree(store._RECORDS, copy)
    (copy / "annotation_checks.py").write_text("# stricter")
    monkeypatch.setattr(store, "_RECORDS", copy)
    store._code_digest.cache_clear()
    open_annotations(path)
    store._code_digest.cache_clear()
    assert len(entries_of(cache)) == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, cache, monkeypatch):
    """Test that such a file is not cached. Otherwise, the cache would contain the former content forever."""
    path = write(tmp_path, everything())
    read = store.read_tables

    def replaced(*args):
        write(tmp_path, toy_data(3))
        return read(*args)

    monkeypatch.setattr(store, "read_tables", replaced)
    assert len(open_annotations(path).to_dataset_dicts("root")) == 3
    assert entries_of(cache) == []
    monkeypatch.setattr(store, "read_tables", read)
    write(tmp_path, everything())
    assert len(open_annotations(path).to_dataset_dicts("root")) == 4


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, everything())
    unreadable = open

    def refused(name, *args, **kwargs):
        if name == path:
            raise PermissionError(13, "Permission denied")
        return unreadable(name, *args, **kwargs)

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(DataError, match="Permission denied"):
        open_annotations(path)
