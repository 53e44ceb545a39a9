"""Test tools/tau_normalize.py: the formula, the files, the evaluation, and errors."""

import pytest
import torch
import yaml
from tau_normalize import main

from seesaw_d2.train import main as train_net
from seesaw_d2.weights.tau_checkpoint import tau_normalize
from tests.train.test_decoupled import CE, CLASSIFIER

C = 6  # number of categories of the fixture glyphs


def test_formula():
    weight = torch.randn(8, 5, dtype=torch.float64) * torch.arange(1, 9)[:, None]
    norms = weight.norm(dim=1)
    for tau in (0.0, 0.3, 1.0, 1.7):
        scaled = tau_normalize(weight, C, tau)
        for row in range(C):
            torch.testing.assert_close(scaled[row], weight[row] / norms[row] ** tau, rtol=1e-12, atol=0)
        assert torch.equal(scaled[C:], weight[C:])  # background
    assert torch.equal(tau_normalize(weight, C, 0), weight)
    torch.testing.assert_close(tau_normalize(weight, C, 1.0)[:C].norm(dim=1), torch.ones(C).double())
    weight[2] = 0
    assert torch.equal(tau_normalize(weight.float(), C, 0.5)[2], torch.zeros(5))
    assert tau_normalize(weight.half(), C, 0.5).dtype == torch.float16


@pytest.fixture
def run(config_file):
    """Return a trained cross-entropy model with its config."""
    assert train_net(["--config-file", str(config_file), "DATASETS.TEST", "()", "SOLVER.MAX_ITER", "1", *CE]) == 0
    return config_file.parent / "run"


def model_of(path) -> dict:
    state = torch.load(path, weights_only=True)
    assert "optimizer" not in state
    assert "trainer" not in state
    return state["model"]


def test_a_sweep_and_its_evaluation(run, config_file, capsys):
    output = config_file.parent / "tau" / "model.pth"
    capsys.readouterr()
    assert main([str(run / "model_final.pth"), str(output), "--sweep", "0", "0.5"]) == 0
    commands = capsys.readouterr().out.splitlines()
    assert sorted(path.name for path in output.parent.iterdir()) == ["model_tau0.5.pth", "model_tau0.pth"]
    before = torch.load(run / "model_final.pth", weights_only=True)["model"]
    after = model_of(output.parent / "model_tau0.5.pth")
    name = f"{CLASSIFIER}.weight"
    assert [key for key in before if not torch.equal(before[key], after[key])] == [name]
    assert torch.equal(after[name], tau_normalize(before[name], C, 0.5))
    unchanged = model_of(output.parent / "model_tau0.pth")
    assert all(torch.equal(value, unchanged[key]) for key, value in before.items())
    # The printed command evaluates the written file.
    program, script, *arguments = commands[1].split()
    assert (program, script) == ("python", "train_net.py")
    capsys.readouterr()
    assert (
        train_net([*arguments, "DATASETS.TEST", str(yaml.safe_load(config_file.read_text())["DATASETS"]["TEST"])]) == 0
    )
    assert (output.parent / "model_tau0.5_evaluation/inference").is_dir()


def test_one_tau_without_biases(run, tmp_path, capsys):
    output = tmp_path / "one.pth"
    assert main([str(run / "model_final.pth"), str(output), "--tau", "1", "--drop-bias"]) == 0
    before = torch.load(run / "model_final.pth", weights_only=True)["model"][f"{CLASSIFIER}.bias"]
    after = model_of(output)[f"{CLASSIFIER}.bias"]
    assert (before[:C] != 0).any()
    assert torch.equal(after, torch.cat([torch.zeros(C), before[C:]]))
    # An existing file is replaced only with --overwrite.
    content = output.read_bytes()
    assert main([str(run / "model_final.pth"), str(output), "--tau", "0.5"]) == 2
    assert "one.pth: " in capsys.readouterr().err
    assert output.read_bytes() == content
    assert main([str(run / "model_final.pth"), str(output), "--tau", "0.5", "--overwrite"]) == 0
    assert output.read_bytes() != content


def test_every_stage_of_a_cascade(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("MODEL: {ROI_HEADS: {NAME: CascadeROIHeads, NUM_CLASSES: 6}}\n")
    names = [f"roi_heads.box_predictor.{stage}.cls_score.weight" for stage in range(3)]
    weights = {name: torch.randn(C + 1, 4) for name in names}
    torch.save({"model": weights}, tmp_path / "cascade.pth")
    assert main([str(tmp_path / "cascade.pth"), str(tmp_path / "out.pth"), "--tau", "0.7"]) == 0
    after = model_of(tmp_path / "out.pth")
    assert all(torch.equal(after[name], tau_normalize(weights[name], C, 0.7)) for name in names)


@pytest.fixture
def checkpoint(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "MODEL: {ROI_HEADS: {NAME: SeesawROIHeads, NUM_CLASSES: 6}, ROI_BOX_HEAD: {CLS_PREDICTOR: {NAME: Linear}}}\n"
    )
    path = tmp_path / "model.pth"
    torch.save({"model": {f"{CLASSIFIER}.weight": torch.randn(C + 1, 4)}}, path)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.pth", "--tau", "-0.5"], "found -0.5"),
        (["out.pth", "--tau", "nan"], "tau: expected "),
        (["out.pth", "--sweep", "0.5", "0.5"], "found 0.5, 0.5"),
        (["out.pkl", "--tau", "0.5"], "out.pkl"),
        (["model.pth", "--tau", "0.5", "--overwrite"], "output: model.pth "),
        (["out.pth", "--tau", "0.5", "--config-file", "nowhere.yaml"], "nowhere.yaml: "),
    ],
)
def test_mistakes_in_the_arguments(checkpoint, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(checkpoint.parent)
    before = {path.name: path.read_bytes() for path in checkpoint.parent.iterdir()}
    assert main(["model.pth", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in checkpoint.parent.iterdir()}


def test_a_checkpoint_that_does_not_exist(tmp_path, capsys):
    """Test that the error names the checkpoint, and not the missing config beside it."""
    assert main([str(tmp_path / "model.pth"), str(tmp_path / "out.pth"), "--tau", "0.5"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "model.pth") in error
    assert "config.yaml" not in error


def test_exponents_that_differ_little_have_different_files(checkpoint):
    taus = [0.123456, 0.1234561, 1.0]
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--sweep", *map(str, taus)]) == 0
    found = {path.name: torch.load(path, weights_only=True)["tau"] for path in checkpoint.parent.glob("out*.pth")}
    assert found == {"out_tau0.123456.pth": taus[0], "out_tau0.1234561.pth": taus[1], "out_tau1.pth": taus[2]}


def test_a_normalized_checkpoint_is_not_normalized_again(checkpoint, capsys):
    first, second = (checkpoint.parent / name for name in ("first.pth", "second.pth"))
    assert main([str(checkpoint), str(first), "--tau", "0.5"]) == 0
    assert main([str(first), str(second), "--tau", "0.25"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (f"{first}: ", "τ", "0.5"))
    assert not second.exists()


def test_each_file_has_its_own_results(checkpoint, capsys):
    """Test models with the same τ in one folder: the evaluation of one must not replace the results of the other."""
    for arguments in (["a.pth", "--tau", "0.5"], ["b.pth", "--tau", "0.5"], ["a.pth", "--sweep", "0.5", "1"]):
        assert main([str(checkpoint), str(checkpoint.parent / arguments[0]), *arguments[1:]]) == 0
    commands = [line.split() for line in capsys.readouterr().out.splitlines()]
    folders = {words[words.index("MODEL.WEIGHTS") + 1]: words[words.index("OUTPUT_DIR") + 1] for words in commands}
    assert len(commands) == len(folders) == len(set(folders.values())) == 4


class Dangerous:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"backbone.weight": torch.ones(3)}}, "roi_heads.box_predictor.cls_score"),
        (
            {"model": {f"{CLASSIFIER}.weight": torch.ones(C + 6, 4)}},
            f"{CLASSIFIER}.weight: expected {C} to {C + 2} rows, found {C + 6} rows",
        ),
        (
            {"model": {f"{CLASSIFIER}.weight": torch.ones(C + 2, 4)}, "categories": list("abcdefgh")},
            f"model.pth: expected {C} categories, as in the config, found {C + 2} categories",
        ),
        ({"model": {f"{CLASSIFIER}.weight": torch.ones(C + 1)}}, f"{CLASSIFIER}.weight: expected a floating-point"),
        ({"model": {f"{CLASSIFIER}.weight": [1.0] * C}}, f"{CLASSIFIER}.weight: expected a floating-point"),
        ({"weights": {}}, '"model"'),
        ({"model": Dangerous()}, "builtins.print"),
        (b"torn", "model.pth"),
        (None, "model.pth"),
    ],
    ids=["no classifier", "other rows", "other categories", "vector", "list", "no model", "code", "torn", "missing"],
)
def test_mistakes_in_the_checkpoint(checkpoint, capsys, content, message):
    if isinstance(content, bytes):
        checkpoint.write_bytes(content)
    elif content is None:
        checkpoint.unlink()
    else:
        torch.save(content, checkpoint)
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--tau", "0.5"]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""
    assert not (checkpoint.parent / "out.pth").exists()


@pytest.mark.parametrize(
    "weights",
    [
        torch.ones(C, 4).to_sparse(),
        torch.ones(C, 4, device="meta"),
        torch.ones(C, 4).to(torch.float8_e5m2),
        torch.full((C, 4), torch.nan),
        torch.ones(1, 1).expand(C, 10**14),
    ],
    ids=["sparse", "meta", "8 bits", "nan", "terabytes"],
)
def test_weights_that_cannot_be_normalized(checkpoint, capsys, weights):
    torch.save({"model": {f"{CLASSIFIER}.weight": weights}}, checkpoint)
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--tau", "0.5"]) == 2
    assert f"model.pth: {CLASSIFIER}.weight: expected " in capsys.readouterr().err
    assert not (checkpoint.parent / "out.pth").exists()


def test_a_classifier_without_biases(checkpoint, capsys):
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--tau", "0.5", "--drop-bias"]) == 2
    assert f"{CLASSIFIER}.bias: expected a floating-point tensor (rows), found no such key" in capsys.readouterr().err


def test_classifiers_that_tau_is_not_for(checkpoint, capsys):
    config = checkpoint.parent / "config.yaml"
    linear = config.read_text()
    config.write_text("MODEL: {META_ARCHITECTURE: LongTailRetinaNet}\n")
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--tau", "0.5"]) == 2
    assert "MODEL.META_ARCHITECTURE: expected " in capsys.readouterr().err
    config.write_text(linear)
    config.write_text(config.read_text().replace("Linear", "NormedLinear"))
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--tau", "0.5"]) == 2
    assert "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME: " in capsys.readouterr().err
    config.unlink()
    assert main([str(checkpoint), str(checkpoint.parent / "out.pth"), "--tau", "0.5"]) == 2
    assert "--config-file" in capsys.readouterr().err
