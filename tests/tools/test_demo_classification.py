"""Test the arguments of tools/demo_classification.py. The slow tests of train_net.py run its training."""

import demo_classification
import pytest


@pytest.mark.parametrize("value", ["0.5", "-1", "nan", "inf"])
def test_imbalance(capsys, tmp_path, value):
    with pytest.raises(SystemExit):
        demo_classification.main(["--imbalance", value, "--output", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert all(word in error for word in ("--imbalance", str(float(value))))
    assert not (tmp_path / "out").exists()


def test_each_imbalance_has_a_data_set_of_its_own():
    """Test two numbers with the same first digits. In the same run folder, the second run would resume the first."""
    names = [demo_classification._data(value)[3] for value in (50.0, 33.3333, 33.33333, 1e7, 12345678.0)]
    assert names[0] == "('digits_lt50_train',)"
    assert len(set(names)) == len(names)
