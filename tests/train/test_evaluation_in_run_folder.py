"""Test that an evaluation in a run folder lists the settings that differ from the run."""

import re
import shutil
from pathlib import Path

import pytest

from seesaw_d2.evaluation.evaluation_settings import SETTINGS_FILE, read_settings
from seesaw_d2.report.classification_report import write_classification_report
from seesaw_d2.train import main
from seesaw_d2.train.trainer import Trainer

pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
CONFIG = Path(__file__).parents[2] / "configs/digits/seesaw.yaml"
OPTIONS = ["MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", "3", "SOLVER.IMS_PER_BATCH", "8"]


class Killed(BaseException):
    pass


def run(folder: Path, *arguments: str, flags=()) -> int:
    return main(["--config-file", str(CONFIG), *flags, *OPTIONS, "OUTPUT_DIR", str(folder), *arguments])


def test_an_evaluation_with_other_settings_is_recorded_until_the_run_is_evaluated_again(tmp_path, caplog):
    folder = tmp_path / "run"
    assert run(folder) == 0
    results = folder / "inference/digits_test"
    other = shutil.copy(folder / "model_final.pth", tmp_path / "other.pth")
    calibration = ["MODEL.ROI_HEADS.CALIBRATION.NAME", "LogitAdjustment", "MODEL.ROI_HEADS.CALIBRATION.TAU", "2.0"]
    assert run(folder, "MODEL.WEIGHTS", str(other), *calibration, flags=["--eval-only"]) == 0
    found = read_settings(str(results))
    assert found.pop("MODEL.WEIGHTS") == (str(folder / "model_final.pth"), str(other))
    assert found == {
        "MODEL.ROI_HEADS.CALIBRATION.NAME": ("", "LogitAdjustment"),
        "MODEL.ROI_HEADS.CALIBRATION.TAU": ("1.0", "2.0"),
    }
    write_classification_report({"calibrated": str(results)}, str(tmp_path / "report.html"))
    page = re.sub(r"<wbr>|\s", "", (tmp_path / "report.html").read_text())
    assert "LogitAdjustment" in page
    assert "MODEL.ROI_HEADS.CALIBRATION.TAU" in page
    assert str(results / SETTINGS_FILE) in caplog.text
    assert run(folder, "SOLVER.MAX_ITER", "4", flags=["--resume"]) == 0
    assert read_settings(str(results)) == {}


def test_results_before_the_end_are_recorded(tmp_path, monkeypatch):
    """Test runs that are killed in the last evaluation or continued. They keep results of an earlier iteration."""
    folder, test = tmp_path / "run", Trainer._test
    settings = []

    def killed_at_the_end(*arguments):
        if (folder / "model_final.pth").exists():
            raise Killed
        return test(*arguments)

    monkeypatch.setattr(Trainer, "_test", killed_at_the_end)
    with pytest.raises(Killed):
        run(folder, "TEST.EVAL_PERIOD", "2")
    results = str(folder / "inference/digits_test")
    assert read_settings(results) == {"SOLVER.MAX_ITER": ("3", "2")}
    monkeypatch.setattr(Trainer, "_test", test)
    assert run(folder, "TEST.EVAL_PERIOD", "2", flags=["--resume"]) == 0
    assert read_settings(results) == {}

    def recorded(*arguments):
        settings.append(read_settings(results))
        return test(*arguments)

    monkeypatch.setattr(Trainer, "_test", recorded)
    assert run(folder, "SOLVER.MAX_ITER", "5", flags=["--resume"]) == 0
    assert settings == [{"SOLVER.MAX_ITER": ("5", "3 or fewer")}]
    assert read_settings(results) == {}
