"""Test that programs replace and remove only files that they wrote."""

import os
import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.errors import ConfigError
from seesaw_d2.predict.image_sources import Video, VideoWriter
from seesaw_d2.report.rendering import check_page, render
from seesaw_d2.utils.own_files import DRAWN, claim_folder, is_drawn
from tests.robustness.mutation import annotation_formats


def page() -> str:
    return render("base.html", title="t")


def test_tables_of_others_are_not_replaced(tmp_path):
    """Test that tables of other programs are not replaced, and that nothing is computed before the error."""
    (tmp_path / "categories.csv").write_text("my,table")
    command = [sys.executable, "tools/evaluate_results.py", "--annotations", "none.json", "none.json"]
    done = subprocess.run([*command, "--output", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"error: {tmp_path}/categories.csv" in done.stderr
    assert (tmp_path / "categories.csv").read_text() == "my,table"


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("my thesis"), os.mkdir, os.mkfifo], ids=["file", "folder", "fifo"]
)
def test_a_report_replaces_only_reports(tmp_path, make):
    path = tmp_path / "report.html"
    check_page(str(path))
    path.write_text(page())
    check_page(str(path))
    link = tmp_path / "link.html"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match=r"link\.html"):
        check_page(str(link))
    path.unlink()
    make(path)
    with pytest.raises(ConfigError, match=r"report\.html"):
        check_page(str(path))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_drawn_pictures_are_recognized_and_whole(tmp_path, ending):
    image = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8)
    path = tmp_path / f"drawn{ending}"
    cv2.imwrite(str(path), image)
    before = cv2.imread(str(path))
    assert not is_drawn(path)
    with path.open("ab") as file:
        file.write(DRAWN)
    assert is_drawn(path)
    assert (cv2.imread(str(path)) == before).all()
    Image.open(path).load()


def test_drawn_videos_are_recognized_and_whole(tmp_path):
    writer = VideoWriter(str(tmp_path / "a.mp4"), 25.0)
    for value in range(5):
        writer.write(np.full((48, 64, 3), 40 * value, np.uint8))
    writer.close()
    assert is_drawn(tmp_path / "a.mp4")
    assert len(list(Video(str(tmp_path / "a.mp4")))) == 5


def test_folders_of_others_are_not_taken(tmp_path):
    claim_folder(tmp_path / "new", "mark.txt")
    (tmp_path / "new/mine.txt").touch()
    claim_folder(tmp_path / "new", "mark.txt")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/mark.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "others").mkdir()
    (tmp_path / "others/thesis.txt").touch()
    for name, found in (("link", "a link"), ("linked", "a link"), ("others", "thesis.txt"), ("new/mine.txt", "a file")):
        with pytest.raises(ConfigError, match=name) as error:
            claim_folder(tmp_path / name, "mark.txt")
        assert found in str(error.value)


@pytest.mark.parametrize("program", ["examples/detectron2_project/train_shapes.py", "benchmarks/report_page.py"])
def test_programs_that_make_data_take_no_folder_of_others(tmp_path, program, monkeypatch):
    (tmp_path / "thesis.txt").touch()
    (tmp_path / "photo.jpg").touch()
    monkeypatch.setattr(sys, "argv", [program, "--output", str(tmp_path)])
    if program.startswith("benchmarks"):
        sys.argv += ["--photos", str(tmp_path)]
    monkeypatch.syspath_prepend(os.path.dirname(program))
    with pytest.raises(ConfigError, match=r"--output.*(thesis\.txt|photo\.jpg)"):
        runpy.run_path(program, run_name="__main__")
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_prepared_export_replaces_only_its_own_config(tmp_path, overwrite):
    (form,) = [form for form in annotation_formats.FORMATS if form.name == "cvat"]
    form.write(tmp_path)
    (out := tmp_path / "made").mkdir()
    (out / "dataset.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"dataset\.yaml"):
        prepare_export(tmp_path / "export.json", out, images=tmp_path / "images", overwrite=overwrite)
    assert [path.read_text() for path in out.iterdir()] == ["mine"]
    (out / "dataset.yaml").unlink()
    for _ in range(2):  # the program replaces its own file
        prepare_export(tmp_path / "export.json", out, images=tmp_path / "images", overwrite=overwrite)
