"""Test arguments of tools/report.py that are refused before a run is read."""

import report


def test_a_negative_number_of_images(capsys, tmp_path):
    page = tmp_path / "page.html"
    assert report.main([str(tmp_path), "--output", str(page), "--images", "-1"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("--images", "-1"))
    assert not page.exists()
