"""Test that an image which is truncated during training is named or skipped."""

import pytest

from seesaw_d2.train import Trainer, main


@pytest.fixture
def truncating(glyphs, monkeypatch):
    """Truncate an image after its header in the first iteration, and restore the image after the test."""
    image = sorted(glyphs.glob("images/train/*.jpg"))[3]
    content, step = image.read_bytes(), Trainer.run_step

    def run_step(trainer):
        step(trainer)
        image.write_bytes(content[:-300])

    monkeypatch.setattr(Trainer, "run_step", run_step)
    yield image
    image.write_bytes(content)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_it_is_named(config_file, truncating, capsys, workers):
    assert main(["--config-file", str(config_file), "SOLVER.MAX_ITER", "30", "DATALOADER.NUM_WORKERS", workers]) == 2
    error = capsys.readouterr().err
    assert f"{truncating}: " in error
    assert "DATALOADER.SKIP_BAD_IMAGES True" in error


def test_or_done_without(config_file, truncating, tmp_path):
    options = ["SOLVER.MAX_ITER", "12", "DATALOADER.NUM_WORKERS", "0", "DATALOADER.SKIP_BAD_IMAGES", "True"]
    assert main(["--config-file", str(config_file), *options]) == 0
    assert f"{truncating}: " in (tmp_path / "run/log.txt").read_text()
