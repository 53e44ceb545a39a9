"""Test decoupled training on the command line: a first training, and then a training of only the classifier."""

import shutil

import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.train import SeesawCheckpointer, main
from tests.modeling.tiny import tiny_config

CE = [
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss", "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class"),
    *("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
]
LWS = [*CE[:-1], "LWSLinear"]
FREEZE = ["MODEL.FREEZE.NAMES", "['*']", "MODEL.FREEZE.EXCEPT", "['roi_heads.box_predictor*.cls_score']"]
CLASSIFIER = "roi_heads.box_predictor.cls_score"
NO_TEST = ["DATASETS.TEST", "()"]


@pytest.fixture(scope="module")
def pretrained(glyphs, tmp_path_factory):
    return tmp_path_factory.mktemp("pretrained") / "model_final.pth"


@pytest.fixture
def job(config_file, pretrained):
    """Return a function that runs the command line with overrides. The first call trains the initial model."""

    def run(*overrides, folder="run"):
        output = config_file.parent / folder
        options = [word for word in overrides if word.startswith("--")]
        keys = [word for word in overrides if word not in options]
        arguments = ["--config-file", str(config_file), *options, "OUTPUT_DIR", str(output)]
        return main([*arguments, *keys, *(() if "--eval-only" in options else NO_TEST)])

    if not pretrained.exists():
        assert run(*CE, folder="pretraining") == 0
        shutil.copy(config_file.parent / "pretraining/model_final.pth", pretrained)
    return run


def weights(path) -> dict:
    return torch.load(path, weights_only=True)["model"]


def differences(before, after) -> set[str]:
    return {name for name in after if name not in before or not torch.equal(before[name], after[name])}


def test_classifier_alone_from_softmax_to_seesaw(job, pretrained, config_file):
    start = ["MODEL.WEIGHTS", str(pretrained), *FREEZE]
    assert job(*start) == 0
    run = config_file.parent / "run"
    before, after = weights(pretrained), weights(run / "model_final.pth")
    # Everything else is unchanged bit for bit, including statistics of batch normalization. Counts start from 0.
    counts = "roi_heads.box_predictor.cls_loss.class_counts"
    assert differences(before, after) == {f"{CLASSIFIER}.weight", f"{CLASSIFIER}.bias", counts}
    assert after[counts].sum() == 3 * 4 * 64
    log = (run / "log.txt").read_text()
    assert f"only {CLASSIFIER}.weight, {CLASSIFIER}.bias" in log
    # A resumed run continues with the complete state.
    assert job(*start, "--resume", "SOLVER.MAX_ITER", "5") == 0
    resumed = weights(run / "model_final.pth")
    assert differences(after, resumed) == {f"{CLASSIFIER}.weight", f"{CLASSIFIER}.bias", counts}
    assert resumed[counts].sum() == 5 * 4 * 64
    state = torch.load(run / "model_final.pth", weights_only=True)["trainer"]["_trainer"]["optimizer"]["state"]
    assert len(state) == 2  # only weight and bias have momentum


def test_resume_with_other_parameters_is_refused(job, pretrained, capsys):
    assert job("MODEL.WEIGHTS", str(pretrained), *FREEZE) == 0
    capsys.readouterr()
    assert job("--resume", "SOLVER.MAX_ITER", "5") == 2
    assert "MODEL.FREEZE" in capsys.readouterr().err


def test_crt_starts_the_classifier_anew(job, pretrained, config_file):
    reinit = ["MODEL.WEIGHTS_EXCEPT", f"['{CLASSIFIER}']", "DATALOADER.SAMPLER_TRAIN", "ClassAwareSampler"]
    still = ["SOLVER.MAX_ITER", "1", "SOLVER.BASE_LR", "0.0"]
    assert job("MODEL.WEIGHTS", str(pretrained), *CE, *FREEZE, *reinit, *still) == 0
    run = config_file.parent / "run"
    before, after = weights(pretrained), weights(run / "model_final.pth")
    assert differences(before, after) == {f"{CLASSIFIER}.weight", f"{CLASSIFIER}.bias"}
    assert (after[f"{CLASSIFIER}.bias"] == 0).all()
    assert (before[f"{CLASSIFIER}.bias"] != 0).any()
    log = (run / "log.txt").read_text()
    assert f"MODEL.WEIGHTS_EXCEPT excludes {CLASSIFIER}.bias, {CLASSIFIER}.weight" in log
    # Without the key, the second training starts from the trained classifier.
    assert job("MODEL.WEIGHTS", str(pretrained), *CE, *FREEZE, *still, folder="kept") == 0
    assert differences(before, weights(config_file.parent / "kept/model_final.pth")) == set()
    # Evaluation and resuming load all parameters.
    state = ["MODEL.WEIGHTS", str(run / "model_final.pth"), *CE, *reinit[:2]]
    assert job("--eval-only", *state, folder="evaluated") == 0


def test_lws_learns_the_scale_alone(job, pretrained, config_file):
    assert job("MODEL.WEIGHTS", str(pretrained), *LWS, *FREEZE) == 0
    path = config_file.parent / "run/model_final.pth"
    before, after = weights(pretrained), weights(path)
    assert differences(before, after) == {f"{CLASSIFIER}.weight_scaler"}
    assert after[f"{CLASSIFIER}.weight_scaler"].shape == (7, 1)
    assert (after[f"{CLASSIFIER}.weight_scaler"] != 1).any()
    assert job("--eval-only", "MODEL.WEIGHTS", str(path), *LWS, folder="evaluated") == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (FREEZE, "MODEL.WEIGHTS: expected"),
        (["WEIGHTS", "MODEL.FREEZE.NAMES", "['*']"], "MODEL.FREEZE: expected"),
        (["WEIGHTS", "MODEL.FREEZE.NAMES", "['backbones']"], "backbone"),
        (["WEIGHTS", *FREEZE[2:]], "MODEL.FREEZE.NAMES: expected"),
        (["WEIGHTS", "MODEL.WEIGHTS_EXCEPT", "['cls_score']"], "MODEL.WEIGHTS_EXCEPT[0]"),
        (["WEIGHTS", *FREEZE, "MODEL.WEIGHTS_EXCEPT", "['backbone.fpn_output2']"], "backbone.fpn_output2.weight: "),
        (["WEIGHTS", *FREEZE, "MODEL.ROI_BOX_HEAD.FC_DIM", "32"], "box_head.fc1.weight: expected shape (32, 3136)"),
        # the shape differs from the weights that LWSLinear scales
        (["WEIGHTS", *LWS[4:]], "cls_score.weight: expected shape (8, 256), found (7, 256)"),
        (["DATALOADER.SAMPLER_TRAIN", "ClassAware"], "DATALOADER.SAMPLER_TRAIN"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_mistakes_end_at_once_and_write_nothing(job, pretrained, config_file, capsys, overrides, message):
    overrides = list(overrides)
    if overrides[0] == "WEIGHTS":
        overrides[:1] = ["MODEL.WEIGHTS", str(pretrained)]
    capsys.readouterr()
    assert job(*overrides) == 2
    error = capsys.readouterr().err
    assert "\nerror: " in f"\n{error}"  # log handlers of earlier runs in this process may print messages first
    assert message in error
    assert not (config_file.parent / "run").exists()


def test_left_out_of_a_model_with_frozen_batch_normalization(tmp_path):
    """Test that statistics of batch normalization come from the file, but the excluded classifier and counts do not."""
    cfg = tiny_config("MODEL.RESNETS.NORM", "FrozenBN")
    trained, model = build_model(cfg), build_model(cfg)
    saved = {
        name: torch.rand_like(value) if value.is_floating_point() else torch.full_like(value, 9)
        for name, value in trained.state_dict().items()
    }
    torch.save({"model": saved}, tmp_path / "weights.pth")
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    left_out = ["*.cls_score", "*.class_counts"]
    SeesawCheckpointer(model, left_out=left_out).load(str(tmp_path / "weights.pth"), checkpointables=[])
    names = {name for name in saved if "cls_score" in name or "class_counts" in name}
    assert len(names) == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, (initial if name in names else saved)[name]), name
