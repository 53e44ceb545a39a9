"""Test arguments of tools/report.py that are refused before a run is read."""

import pytest
import report


def test_a_negative_number_of_images(capsys, tmp_path):
    page = tmp_path / "page.html"
    assert report.main([str(tmp_path), "--output", str(page), "--images", "-1"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("--images", "-1"))
    assert not page.exists()


@pytest.mark.parametrize("name", ["ImageClassifier", "SemanticSegmentor"])
def test_a_run_of_another_task(capsys, tmp_path, name):
    (tmp_path / "config.yaml").write_text(f"MODEL: {{META_ARCHITECTURE: {name}}}\nDATASETS: {{TEST: [digits_test]}}\n")
    assert report.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (str(tmp_path), "MODEL.META_ARCHITECTURE", name))
    assert not (tmp_path / "report.html").exists()
