"""Test that output paths are checked before anything is computed, and the inputs of exported models."""

import subprocess

import numpy as np
import pytest
from detectron2.config import get_cfg

from seesaw_d2.errors import ConfigError, DataError, OutputError
from seesaw_d2.export import ExportedModel, export_model, exporting
from seesaw_d2.export.verification import difference
from tests.export.models import classifier, detector, eager, image, model_of, picture


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return the message of an export that fails before the model is built and changes no file."""
    monkeypatch.setattr(exporting, "load_predictor", None)
    cfg = detector(tmp_path)

    def export(output, **options):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises((ConfigError, OutputError)) as raised:
            export_model(cfg, str(output), "torchscript", **options)
        assert sorted(tmp_path.rglob("*")) == before
        return str(raised.value)

    return export


def test_outputs_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "a.ts").mkdir()
    (tmp_path / "b.ts").touch()
    (tmp_path / "c.ts").symlink_to("nowhere")
    (tmp_path / "folder/model.ts").mkdir(parents=True)
    for output, options, message in (
        ("file/a.ts", {}, f"--output: expected a folder, found the file {tmp_path}/file"),
        ("file/new", {}, f"--output: expected a folder, found the file {tmp_path}/file"),
        ("a.ts", {"overwrite": True}, f"--output {tmp_path}/a.ts: "),
        ("folder", {}, f"--output {tmp_path}/folder/model.ts: "),
        ("b.ts", {}, f"--output {tmp_path}/b.ts: "),
        ("c.ts", {}, f"--output {tmp_path}/c.ts: "),
    ):
        assert refused(tmp_path / output, **options).startswith(message)


def test_a_disk_that_cannot_be_written(refused, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for output in (small_disk, small_disk / "new/folder"):
        message = refused(output, overwrite=True)
        assert message.startswith(f"--output: {output}: ")
        assert message.endswith(str(small_disk))


def test_the_config_of_another_program(tmp_path, monkeypatch):
    """Test a frozen config of a GPU, which the export to ONNX must not change, and one without this package's keys."""
    monkeypatch.setattr(exporting, "need", lambda *names: None)
    monkeypatch.setattr(exporting, "load_predictor", lambda cfg, check: pytest.fail(cfg.MODEL.DEVICE))
    cfg = detector(tmp_path)
    cfg.MODEL.DEVICE = "cuda"
    cfg.freeze()
    with pytest.raises(pytest.fail.Exception, match="cpu"):
        export_model(cfg, str(tmp_path), "onnx")
    assert cfg.MODEL.DEVICE == "cuda"
    with pytest.raises(ConfigError, match="add_seesaw_config"):
        export_model(get_cfg(), str(tmp_path), "torchscript")


def test_a_folder_is_made(tmp_path):
    written = export_model(detector(tmp_path), str(tmp_path / "new/folder"), "torchscript", picture=picture(64, 64, 1))
    assert ExportedModel(written.path).metadata["task"] == "detection"


@pytest.mark.parametrize("file_format", ["torchscript", pytest.param("onnx", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(1, 100), (100, 1)])
def test_a_sample_of_one_row_or_column(size, file_format, tmp_path):
    """Test that an image without room for a crop can be the sample, and that the file runs images of other sizes."""
    if file_format == "onnx":
        pytest.importorskip("onnxscript", reason="only exports to ONNX need this optional package")
    cfg = detector(tmp_path, "INPUT.MIN_SIZE_TEST", "0", "MODEL.MASK_ON", "False")
    sample = np.resize(picture(100, 100, 1), (*size, 3))
    exported = ExportedModel(export_model(cfg, str(tmp_path), file_format, picture=sample).path)
    for array in (image(64, 96, 5), image(64, 96, 5)[:, :1]):
        expected = eager(model_of(cfg), array)
        assert len(expected["scores"]) > 0
        assert max(difference(expected, exported(array)).values()) <= 1e-4


def test_inputs_of_another_kind(tmp_path):
    cfg = detector(tmp_path)
    model = ExportedModel(export_model(cfg, str(tmp_path), "torchscript", picture=picture(64, 64, 1)).path)
    good = image(64, 64, 1)
    for given, found in (
        (good.astype(np.float32), r"float32 .*\(3, 64, 64\)"),
        (good[None], r"uint8 .*\(1, 3, 64, 64\)"),
        (good.transpose(1, 2, 0), r"uint8 .*\(64, 64, 3\)"),
        (good[:, :0], r"uint8 .*\(3, 0, 64\)"),
    ):
        with pytest.raises(DataError, match=rf"image: expected .*uint8 .*, found .*{found}"):
            model(given)
    assert len(model(good[:, ::-1])["scores"]) > 0


def test_an_image_classifiers_size(tmp_path):
    model = ExportedModel(export_model(classifier(tmp_path), str(tmp_path), "torchscript").path)
    with pytest.raises(DataError, match="image: expected 8 x 8 pixels, found 16 x 16"):
        model(image(16, 16, 3))
