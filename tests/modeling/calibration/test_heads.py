"""Test that MODEL.ROI_HEADS.CALIBRATION changes the scores of every head by its formula, and nothing else."""

import json

import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.config.loading import load_config, read_value
from seesaw_d2.data import register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.losses.base import InvalidArgument
from seesaw_d2.losses.link_functions import LINKS
from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor
from seesaw_d2.modeling.calibration import FRACAL
from seesaw_d2.modeling.calibration.base import class_probabilities
from seesaw_d2.train.preflight.keys import check_written
from seesaw_d2.train.preflight.keys.written import COMMAND_LINE, Layer
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config

NODE, LOSS = "MODEL.ROI_HEADS.CALIBRATION", "MODEL.ROI_BOX_HEAD.CLS_LOSS"
COUNTS = torch.tensor([1.0, 3, 10, 40, 90, 400, 1000], dtype=torch.float64)


@pytest.fixture
def counts(tmp_path) -> str:
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({"class_counts": COUNTS.long().tolist()}))
    return str(path)


def both(counts, name, *overrides, gamma=0.6) -> list[torch.nn.Module]:
    """Return two models with the same weights, without and with a calibration."""
    plain = build_model(tiny_config(*overrides)).eval()
    keys = (f"{NODE}.NAME", name, f"{NODE}.COUNTS", str(counts), f"{NODE}.GAMMA", gamma)
    calibrated = build_model(tiny_config(*overrides, *keys)).eval()
    calibrated.load_state_dict(plain.state_dict())  # strict works, because factors are not saved
    return [plain, calibrated]


def scores(model, logits) -> torch.Tensor:
    predictor = next(each for each in model.modules() if isinstance(each, SeesawBoxPredictor))
    return predictor.predict_probs((logits, None), [range(len(logits))])[0]


@pytest.mark.parametrize(("name", "exponent"), [("NorCal", 0.6), ("LogitAdjustment", 1.0)])
def test_only_the_category_softmax_beside_an_objectness_branch(counts, name, exponent):
    logits = 3 * torch.randn(20, NUM_CLASSES + 2, dtype=torch.float64)
    plain, calibrated = (scores(model, logits) for model in both(counts, name))
    expected = (logits[:, :NUM_CLASSES] - exponent * COUNTS.log()).softmax(dim=1) * (1 - plain[:, -1:])
    torch.testing.assert_close(calibrated[:, :-1], expected)
    torch.testing.assert_close(calibrated[:, -1], plain[:, -1])


def test_norcal_with_background_as_a_class(counts):
    logits = 3 * torch.randn(20, NUM_CLASSES + 1, dtype=torch.float64)
    _, model = both(counts, "NorCal", f"{LOSS}.NAME", "CrossEntropyLoss", f"{LOSS}.BACKGROUND", "class")
    shift = torch.cat([-0.6 * COUNTS.log(), torch.zeros(1)])
    torch.testing.assert_close(scores(model, logits), (logits + shift).softmax(dim=1))


@pytest.mark.parametrize("background", ["objectness", "class", "implicit"])
def test_the_alternatives_of_norcal(counts, background):
    loss = "FocalLoss" if background == "implicit" else "CrossEntropyLoss"
    head = (f"{LOSS}.NAME", loss, f"{LOSS}.BACKGROUND", background)
    plain, unnormalized = both(counts, "NorCal", *head, f"{NODE}.NORCAL.NORMALIZE", False)
    own = (f"{NODE}.NORCAL.SCALED", "logits", f"{NODE}.NORCAL.FACTOR", "effective_number", f"{NODE}.NORCAL.BETA", 0.9)
    _, scaled = both(counts, "NorCal", *head, *own)
    logits = 3 * torch.randn(20, {"objectness": 2, "class": 1, "implicit": 0}[background] + NUM_CLASSES).double()
    before, after = scores(plain, logits), scores(unnormalized, logits)
    torch.testing.assert_close(after[:, :-1], before[:, :-1] * COUNTS**-0.6)
    background_score = 1 - after[:, :-1].amax(dim=1) if background == "implicit" else before[:, -1]
    torch.testing.assert_close(after[:, -1], background_score)
    times = logits.clone()
    times[:, :NUM_CLASSES] *= 0.1 / (1 - 0.9**COUNTS)
    torch.testing.assert_close(scores(scaled, logits), scores(plain, times))


def test_sigmoids(counts):
    logits = 3 * torch.randn(20, NUM_CLASSES, dtype=torch.float64)
    _, model = both(counts, "NorCal", f"{LOSS}.NAME", "FocalLoss")
    torch.testing.assert_close(scores(model, logits)[:, :-1], (logits - 0.6 * COUNTS.log()).sigmoid())


@pytest.mark.parametrize("average", ["", "probabilities", "logits", "iterative"])
@pytest.mark.parametrize("rarest", [0, NUM_CLASSES - 1])
def test_a_strong_calibration_detects_the_rarest_category(tmp_path, average, rarest):
    (tmp_path / "counts.json").write_text(json.dumps({"class_counts": COUNTS.long().roll(rarest).tolist()}))
    head = (*CASCADE, "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", average) if average else ()
    if average == "iterative":
        head = ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads")
    head = (*head, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "TEST.DETECTIONS_PER_IMAGE", 1)
    torch.manual_seed(0)
    _, model = both(tmp_path / "counts.json", "NorCal", *head, gamma=30.0)
    with torch.no_grad():
        found = model([{"image": tiny_batch()[0]["image"]}])[0]["instances"]
    assert found.pred_classes.tolist() == [rarest]


def test_seesaws_own_recorded_counts_of_each_stage(tmp_path):
    path = tmp_path / "counts.json"
    stages = [COUNTS.long().tolist(), COUNTS.flip(0).long().tolist(), [5] * NUM_CLASSES]
    path.write_text(json.dumps({"class_counts": stages}))
    _, model = both(str(path), "NorCal", *CASCADE)
    for stage, expected in zip(model.roi_heads.box_predictor, stages, strict=True):
        logs = -0.6 * torch.tensor(expected, dtype=torch.float64).log()
        torch.testing.assert_close(stage.calibration.log_factors, logs)


def test_fixed_counts_of_the_loss_and_a_calibration(counts, tmp_path, config_file):
    path = tmp_path / "stages.json"
    path.write_text(json.dumps({"class_counts": [[stage + 1] * NUM_CLASSES for stage in range(3)]}))
    _, model = both(counts, "NorCal", *CASCADE, f"{LOSS}.SEESAW.CLASS_COUNTS", str(path))
    assert [each.cls_loss.class_counts[0].item() for each in model.roi_heads.box_predictor] == [1, 2, 3]
    cfg = load_config(str(config_file), [f"{NODE}.NAME", "NorCal", f"{LOSS}.SEESAW.CLASS_COUNTS", "dataset"])
    register_datasets(cfg)
    predictor = build_model(cfg).roi_heads.box_predictor
    assert not predictor.cls_loss.online
    assert predictor.calibration.log_factors.std() > 0


@pytest.mark.parametrize("link", [*LINKS, "none"])
@pytest.mark.parametrize("counts", [[0, 1, 50], [100, 1, 0], [100]])
def test_fracal_with_odd_counts_is_finite_or_refused(link, counts):
    arguments = torch.tensor(counts), 100, torch.ones(len(counts)), 1.0
    if len(counts) == 1 and link in ("prob", "normit", "gombit"):  # g(1 / C) is infinite
        with pytest.raises(InvalidArgument, match="link"):
            FRACAL(*arguments, link=link)
    else:
        assert FRACAL(*arguments, link=link).log_factors.isfinite().all()


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (("NAME", "NorCall"), "NAME", "NorCall"),
        (("NAME", "NorCal", "GAMMA", -1.0), "GAMMA", "-1.0"),
        (("NAME", "LogitAdjustment", "TAU", float("inf")), "TAU", "inf"),
        (("NAME", "NorCal", "NORCAL.FACTOR", "cb"), "NORCAL.FACTOR", "cb"),
        (("NAME", "NorCal", "NORCAL.SCALED", "exps"), "NORCAL.SCALED", "exps"),
        (("NAME", "NorCal", "NORCAL.FACTOR", "effective_number", "NORCAL.BETA", 1.0), "NORCAL.BETA", "1.0"),
        (("NAME", "NorCal"), "COUNTS", "DATASETS.TRAIN"),  # no training set is registered
        (("NAME", "FRACAL"), "COUNTS", "DATASETS.TRAIN"),
    ],
)
def test_wrong_values(counts, overrides, key, value):
    keys = [each if index % 2 else f"{NODE}.{each}" for index, each in enumerate(overrides)]
    if key != "COUNTS":
        keys += [f"{NODE}.COUNTS", counts]
    with pytest.raises(ConfigError, match=f"{NODE}.{key}") as error:
        build_model(tiny_config(*keys))
    assert value in str(error.value)


@pytest.mark.parametrize("loss", ["BalancedGroupSoftmaxLoss", "EffectiveClassMarginLoss"])
def test_losses_whose_scores_are_neither(counts, loss):
    with pytest.raises(ConfigError, match=loss):
        both(counts, "NorCal", f"{LOSS}.NAME", loss)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (("MODEL.ROI_HEADS.NAME", "StandardROIHeads", f"{NODE}.NAME", "NorCal"), "NAME"),
        ((f"{NODE}.GAMMA", 0.5), "GAMMA"),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.TAU", 0.5), "TAU"),
        (
            (f"{NODE}.NAME", "FRACAL", f"{NODE}.COUNTS", "counts.json", f"{NODE}.FRACAL.NUM_IMAGES", 9),
            "FRACAL.NUM_IMAGES",
        ),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.COUNTS", "c.csv", f"{NODE}.FRACAL.NUM_IMAGES", 9), "FRACAL.NUM_IMAGES"),
        (
            (
                *(f"{NODE}.NAME", "FRACAL", f"{NODE}.COUNTS", "c.csv"),
                *(f"{NODE}.FRACAL.FREQUENCY", "instances", f"{NODE}.FRACAL.NUM_IMAGES", 9),
            ),
            "FRACAL.NUM_IMAGES",
        ),
        ((f"{NODE}.NAME", "TauNormalization", f"{NODE}.COUNTS", "c.csv"), "COUNTS"),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.FRACAL.LINK", "raw"), "FRACAL.LINK"),
        ((f"{NODE}.NAME", "FRACAL", f"{NODE}.FRACAL.LINK", "none", f"{NODE}.FRACAL.FREQUENCY", "images"), "FRACAL.F"),
        ((f"{NODE}.NAME", "LogitAdjustment", f"{NODE}.NORCAL.NORMALIZE", False), "NORCAL.NORMALIZE"),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.NORCAL.BETA", 0.9), "NORCAL.BETA"),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.NORCAL.FACTOR", "effective_number", f"{NODE}.GAMMA", 0.9), "GAMMA"),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.NORCAL.SCALED", "logits", f"{NODE}.NORCAL.NORMALIZE", True), "NORCAL.N"),
    ],
)
def test_keys_without_effect(overrides, key):
    cfg = tiny_config(*overrides)
    written = {each: read_value(cfg, each) for each in overrides[::2]}
    with pytest.raises(ConfigError, match=f"{NODE}.{key}"):
        check_written(cfg, [Layer(COMMAND_LINE, written, None, is_base=False)])


class _WithoutBackground(CrossEntropyLoss):
    """Loss of another project that forgets the column of background, which Detectron2's inference would drop again."""

    def probabilities(self, logits):
        return super().probabilities(logits)[:, :-1]


@pytest.mark.parametrize(("background", "columns"), [("class", 4), ("objectness", 4), ("none", 3)])
def test_scores_with_another_number_of_columns_are_refused(background, columns):
    loss = _WithoutBackground(3, background=background)
    logits = torch.zeros(2, loss.num_logits)
    with pytest.raises(ValueError, match=rf"_WithoutBackground\.probabilities: .*\(N, {columns}\)"):
        class_probabilities(logits, loss, None, torch.nn.Linear(1, loss.num_logits))
