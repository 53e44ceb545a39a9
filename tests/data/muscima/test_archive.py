"""Test reading MUSCIMA++ from its folder and from its archives."""

import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from seesaw_d2.data.muscima import Split, archive
from seesaw_d2.data.muscima.source import read_source
from seesaw_d2.errors import ConfigError, DataError
from tests.data.muscima.written import page, three_pages, write_source


def names(pages):
    return [(found.writer, found.number) for found in pages]


def test_folder_and_archives_are_alike(tmp_path):
    folder = write_source(tmp_path / "muscima")
    found = [read_source(folder, None, Split())]
    for kind in ("zip", "tar", "gztar", "xztar"):
        archive = shutil.make_archive(str(tmp_path / kind), kind, folder)
        found.append(read_source(type(folder)(archive), None, Split()))
    assert names(found[0].pages) == [(1, 3), (5, 3), (10, 7)]
    assert len({source.digest for source in found}) == 1
    assert [names(source.pages) for source in found] == [names(found[0].pages)] * 5


def test_splits(tmp_path):
    folder = write_source(tmp_path / "muscima")

    def parts(split):
        return {name: names(pages) for name, pages in read_source(folder, None, split).parts(split).items()}

    assert parts(Split()) == {"train": [(1, 3)], "test": [(5, 3), (10, 7)]}
    assert parts(Split(fold=1)) == {"train": [(5, 3), (10, 7)], "test": [(1, 3)]}
    assert parts(Split(folds=3, fold=2)) == {"train": [(1, 3), (10, 7)], "test": [(5, 3)]}
    assert parts(Split(official=True)) == {"train": [(1, 3), (5, 3)], "test": [(10, 7)]}
    with pytest.raises(DataError, match=r"--fold 2.*test"):
        parts(Split(fold=2))


def test_the_official_split_has_no_writer_twice(tmp_path):
    folder = write_source(tmp_path / "muscima", [*three_pages(), page(10, 1)])
    split = Split(official=True)
    found = read_source(folder, None, split).parts(split)
    assert names(found["train"]) == [(1, 3), (5, 3)]


@pytest.mark.parametrize("options", [{"folds": 1}, {"fold": 5}, {"fold": -1}])
def test_wrong_folds(options):
    (name, value), *_ = options.items()
    with pytest.raises(ConfigError, match=rf"--{name}:.*{value}"):
        Split(**options)


def test_what_is_no_source(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        read_source(tmp_path / "nowhere", None, Split())
    with pytest.raises(DataError, match=str(tmp_path)):
        read_source(tmp_path, None, Split())
    for kind, name in (("zip", "torn.zip"), ("xztar", "torn.tar.xz"), ("gztar", "torn.tar.gz"), ("tar", "torn.tar")):
        torn = Path(shutil.make_archive(str(tmp_path / "torn"), kind, write_source(tmp_path / kind)))
        for size in (len(torn.read_bytes()) // 2, 5):
            torn.write_bytes(torn.read_bytes()[:size])
            with pytest.raises(DataError, match=re.escape(name)):
                read_source(torn, None, Split())
    same = write_source(tmp_path / "same", [three_pages()[0], ("CVC-MUSCIMA_W-1_N-3_D-ideal.xml", three_pages()[0][1])])
    with pytest.raises(DataError, match=r"W-1_N-3.*W-01_N-03|W-01_N-03.*W-1_N-3"):
        read_source(same, None, Split())
    unknown = write_source(tmp_path / "unknown", official="CVC-MUSCIMA_W-44_N-01_D-ideal")
    with pytest.raises(DataError, match=r"testset-independent\.txt.*W-44_N-01"):
        read_source(unknown, None, Split(official=True))


def test_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigError, match=str(path)):
            read_source(path, None, Split())


@pytest.mark.parametrize("kind", ["zip", "xztar"])
@pytest.mark.parametrize("count", [1, 30])
def test_sizes_are_checked_before_files_are_unpacked(tmp_path, monkeypatch, kind, count):
    """Test one huge annotation file, and many files that are each below the limit."""
    monkeypatch.setattr(archive, "_MAX_BYTES", 100_000)
    monkeypatch.setattr(archive, "_MAX_TOTAL", 1_000_000 if count > 1 else 1_000_000_000)
    folder = write_source(tmp_path / "muscima")
    for number in range(count):
        (folder / f"CVC-MUSCIMA_W-40_N-{number}_D-ideal.xml").write_bytes(bytes(3_000_000 // count))
    unpacked, unzip, untar = [], zipfile.ZipFile.read, tarfile.TarFile.extractfile
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *args: unpacked.append(args[1].file_size) or unzip(*args))
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda *args: unpacked.append(args[1].size) or untar(*args))
    path = Path(shutil.make_archive(str(tmp_path / "bomb"), kind, folder))
    with pytest.raises(DataError, match=r"bomb.*000"):
        read_source(path, None, Split())
    with pytest.raises(DataError, match=r"muscima.*000"):
        read_source(folder, None, Split())
    assert sum(unpacked) < 1_100_000
