"""Test which results the report takes from a run folder."""

import pytest
import report
import yaml


@pytest.mark.parametrize("tested", ["other first", "other last", "other alone", "unknown"])
def test_results_of_another_data_set_in_a_folder_of_detectron2(runs, capsys, tested):
    """Detectron2 writes the results of each dataset to the same file."""
    config = runs / "plain/config.yaml"
    found = yaml.safe_load(config.read_text())
    (name,) = found["DATASETS"]["TEST"]
    names = {"other first": ["other", name], "other last": [name, "other"], "other alone": ["other"], "unknown": []}
    config.write_text(yaml.safe_dump({**found, "DATASETS": {**found["DATASETS"], "TEST": names[tested]}}))
    refused = tested in ("other last", "other alone")
    page = runs / "page.html"
    arguments = [str(runs / "plain"), "--dataset", name, "--output", str(page), "--images", "0"]
    assert report.main(arguments) == (2 if refused else 0)
    assert page.exists() is (not refused)
    error = capsys.readouterr().err
    assert all(word in error for word in (str(runs / "plain/inference"), repr(name), "'other'")) is refused
