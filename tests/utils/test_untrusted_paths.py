"""Test that names from files and configs give only paths below their folder."""

import json
import os

import pytest

from seesaw_d2.config.loading import load_config
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.build import results_folder
from seesaw_d2.utils.untrusted_paths import below, leads_outside
from tests.data.toy import toy_data, write_images

OUTSIDE = [
    "../../x",
    "..",
    "/etc/x",
    "a/../../x",
    "C:\\x",
    "..\\x",
    "a\0b",
    ".",
    "a//b",
    "a/",
    "n" * 300,
    "\ud800",
    "a/.",
    "",
    "a\nb",
    "\x1b[2J",
    "a\u202eb",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_are_no_names(tmp_path, name):
    with pytest.raises(ConfigError, match="KEY"):
        below(str(tmp_path), name, "KEY")


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("2026-01-31T12:30:00.jpg", False),
        ("12:30/a.jpg", False),
        ("a/C:/b.jpg", False),
        ("C:/a.jpg", True),
        ("c:a.jpg", True),
        ("https://x.org/a.jpg", True),
        ("s3://x/a.jpg", True),
        ("file:", True),
    ],
)
def test_colons(name, outside):
    """Test that only a drive or the scheme of a URL leads outside, not a time in the name of an image."""
    assert leads_outside(name) == (outside or (os.name == "nt" and ":" in name.split("/")[0]))


def test_names(tmp_path):
    for name in ("a", "a/b.c", "...", "ä b", "a..b", "a" * 200):
        assert below(str(tmp_path), name) == f"{tmp_path}/{name}"


@pytest.mark.parametrize("name", [name for name in OUTSIDE if name.isprintable() and name])
def test_names_of_data_sets(tmp_path, name):
    (tmp_path / "a.json").write_text(json.dumps(toy_data()))
    write_images(tmp_path / "images", toy_data())
    entry = {"NAME": name, "JSON": str(tmp_path / "a.json"), "IMAGES": str(tmp_path / "images")}
    cfg = load_config()
    cfg.DATASETS.REGISTER, cfg.OUTPUT_DIR = [entry], str(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"DATASETS\.REGISTER\[0\]\.NAME"):
        register_datasets(cfg)
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST"):  # a dataset that a program has registered
        results_folder(cfg, name)
