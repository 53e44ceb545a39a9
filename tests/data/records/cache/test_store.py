"""Test the annotation cache: keys by content, checks of cached files, and sharing between processes."""

import fcntl
import logging
import os
import pickle
import shutil
from pathlib import Path

import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.cache import entry_files, store
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.errors import DataError
from tests.data.toy import everything, toy_data, write
from tests.processes import start

pytestmark = pytest.mark.usefixtures("cache")


def entries_of(cache: Path) -> list[Path]:
    return [path for path in (cache / "annotations").iterdir() if path.suffix != ".lock"]


def test_a_file_is_parsed_once_whatever_it_is_called(tmp_path, cache, no_parsing):
    path = write(tmp_path, everything())
    expected = list(open_annotations(path).to_dataset_dicts("root"))
    store._opened.clear()
    no_parsing()
    os.utime(path, (1, 1))
    moved = tmp_path / "moved.json"
    os.rename(path, moved)
    assert list(open_annotations(str(moved)).to_dataset_dicts("root")) == expected
    (kept,) = entries_of(cache)
    assert not [name for name in os.listdir(kept.parent) if name.startswith("tmp-")]


def test_a_changed_file_is_parsed_again(tmp_path):
    path = write(tmp_path, everything())
    assert len(open_annotations(path).to_dataset_dicts("root")) == 4
    write(tmp_path, toy_data(3))
    assert len(open_annotations(path).to_dataset_dicts("root")) == 3


def _change(entry: Path, change) -> None:
    entry.write_bytes(change(entry.read_bytes()))


def _flip(entry: Path, position: int) -> None:
    content = bytearray(entry.read_bytes())
    content[position] ^= 1
    entry.write_bytes(content)


DAMAGE = {
    "truncated": lambda entry: _change(entry, lambda content: content[:-8]),
    "empty": lambda entry: entry.write_bytes(b""),
    "a number": lambda entry: entry.write_bytes(bytes(8)),
    "longer": lambda entry: _change(entry, lambda content: content + bytes(8)),
    "one bit of the checksum": lambda entry: _flip(entry, 0),
    "one bit of the length": lambda entry: _flip(entry, 8),
    "one bit of the description": lambda entry: _flip(entry, 20),
    "one bit of the arrays": lambda entry: _flip(entry, -1),
    "category names of others": lambda entry: _change(entry, lambda content: content.replace(b"seven", b"eight")),
    "a pipe": lambda entry: entry.unlink() or os.mkfifo(entry),
    "a folder": lambda entry: entry.unlink() or entry.mkdir(),
    "a link": lambda entry: entry.symlink_to(entry.rename(entry.with_name("elsewhere"))),
    "others can write to it": lambda entry: entry.chmod(0o666),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_good_is_made_again(tmp_path, cache, damage, no_parsing, caplog, monkeypatch):
    monkeypatch.setattr("seesaw_d2.utils.messages._already_logged", set())
    path = write(tmp_path, everything())
    expected = read_annotations(path).to_dataset_dicts("root")
    open_annotations(path)
    (kept,) = entries_of(cache)
    damage(kept)
    store._opened.clear()
    caplog.clear()
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected
    assert [each.message for each in caplog.records if str(kept) in each.message and path in each.message]
    store._opened.clear()
    no_parsing()
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected


def test_an_entry_of_another_file_is_not_used(tmp_path, cache):
    """Test that a valid cache entry under the name of another file is not used."""
    path, other = write(tmp_path, everything()), write(tmp_path, toy_data(3), "other.json")
    open_annotations(path)
    (first,) = entries_of(cache)
    open_annotations(other)
    (second,) = set(entries_of(cache)) - {first}
    shutil.copy(second, first)
    store._opened.clear()
    expected = read_annotations(path).to_dataset_dicts("root")
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected


def test_all_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    synced, rename, fsync, renamed = set(), os.rename, os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino) or fsync(file))
    monkeypatch.setattr(os, "rename", lambda old, new: renamed.append(os.stat(old).st_ino) or rename(old, new))
    open_annotations(write(tmp_path, everything()))
    assert len(renamed) == 1
    assert set(renamed) <= synced


def test_switched_off(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("SEESAW_D2_CACHE", "")
    path = write(tmp_path, everything())
    assert isinstance(open_annotations(path).to_dataset_dicts("root"), list)
    assert not cache.exists()


def test_a_wrong_file_is_named_each_time_and_not_kept(tmp_path, cache):
    data = everything()
    data["annotations"][0]["image_id"] = 999
    path = write(tmp_path, data)
    for _ in range(2):
        with pytest.raises(DataError, match="999"):
            open_annotations(path)
    assert entries_of(cache) == []


def test_warnings_are_said_again(tmp_path, caplog, monkeypatch):
    path = write(tmp_path, everything())
    open_annotations(path)
    caplog.clear()
    store._opened.clear()
    monkeypatch.setattr("seesaw_d2.utils.messages._already_logged", set())  # simulate another process
    monkeypatch.setattr(store, "read_tables", lambda *a: pytest.fail("the file was parsed"))
    with caplog.at_level(logging.WARNING):
        open_annotations(path)
    assert "1 objects whose box has no area" in caplog.text


def test_a_worker_process_gets_the_path_and_no_arrays(tmp_path):
    data = toy_data(400)
    records = open_annotations(write(tmp_path, data)).to_dataset_dicts("root")
    sent = pickle.dumps(records)
    assert len(sent) < 10_000
    assert list(pickle.loads(sent)) == list(records)


def _open(process, path, cache, folder):
    os.environ["SEESAW_D2_CACHE"] = cache
    store.MIN_SIZE = 0
    parse = store.read_tables

    def parse_and_tell(*arguments):
        (Path(folder) / f"parsed{process}").write_text("")
        return parse(*arguments)

    store.read_tables = parse_and_tell
    records = list(open_annotations(path).to_dataset_dicts("root"))
    (Path(folder) / f"records{process}").write_bytes(pickle.dumps(records))


def test_of_two_processes_one_parses(tmp_path, cache):
    path = write(tmp_path, toy_data(300))
    start(_open, (path, str(cache), str(tmp_path)), 2)
    assert len(list(tmp_path.glob("parsed*"))) == 1
    expected = read_annotations(path).to_dataset_dicts("root")
    assert all(pickle.loads((tmp_path / f"records{process}").read_bytes()) == expected for process in range(2))


def test_a_process_that_is_stopped_is_not_waited_for(tmp_path, cache, monkeypatch):
    """Test that a stopped process which holds the lock of an entry is not waited for."""
    monkeypatch.setattr(entry_files, "_LONGEST_COMPILATION", 0.2)
    path = write(tmp_path, everything())
    expected = list(open_annotations(path).to_dataset_dicts("root"))
    (kept,) = entries_of(cache)
    kept.unlink()
    store._opened.clear()
    with open(f"{kept}.lock", "a") as file:  # a lock of another open file excludes the lock of this process
        fcntl.flock(file, fcntl.LOCK_EX)
        assert list(open_annotations(path).to_dataset_dicts("root")) == expected


def test_the_name_of_an_entry_depends_on_all_checks(monkeypatch):
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or b"")
    store._code_digest.__wrapped__()
    assert {"annotation_checks.py", "box_readings.py", "image_files.py", "json_reading.py"} <= {p.name for p in read}
    assert all(path.is_file() for path in read)
