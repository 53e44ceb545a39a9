"""Test IterativeROIHeads: the authors' numbers, other sizes, and a single iteration."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.modeling import IterativeROIHeads, SeesawBoxPredictor
from tests import golden
from tests.modeling.test_roi_heads import step
from tests.modeling.tiny import tiny_batch, tiny_config
from tests.reference.authors_pcb import AuthorsCrossEntropyPCB

ITERATIVE = ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads")
PCB = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance", "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.UNSEEN", "ignore")
LOSSES = {
    "seesaw": (),
    "ce": ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss", "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class"),
    "pcb_seesaw": PCB,
    "pcb_ce": (*PCB, "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.LOSS", "CrossEntropyLoss"),
}


class GivenPooler(nn.Module):
    """Return given features instead of pooling."""

    def __init__(self, features):
        super().__init__()
        self.features, self.output_size = features, tuple(features.shape[2:])

    def forward(self, features, boxes):
        return self.features


class AveragePool(nn.Module):
    """Average features without layers, as the authors' BBoxHead(with_avg_pool)."""

    def forward(self, features):
        return features.mean(dim=(2, 3))


class Weighted(AuthorsCrossEntropyPCB):
    """Use the label weights of a file. Detectron2's heads do not have label weights."""

    label_weights = None

    def forward(self, logits, labels):
        return super().forward(logits, labels, self.label_weights)


def explicit_heads(features, num_classes, cls_loss, channels=None, **arguments):
    """Build a head from explicit arguments that pools ``features`` and averages them."""
    channels = channels or features.shape[1]
    predictor = SeesawBoxPredictor(
        ShapeSpec(channels=channels),
        cls_loss=cls_loss,
        cls_predictor="Linear",
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        num_classes=num_classes,
        smooth_l1_beta=1.0,
        **arguments.pop("predictor", {}),
    )
    return IterativeROIHeads(
        num_classes=num_classes,
        batch_size_per_image=len(features),
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1]),
        box_in_features=["p2"],
        box_pooler=GivenPooler(features),
        box_head=AveragePool(),
        box_predictor=predictor,
        pooled_channels=channels,
        **arguments,
    ).to(features.dtype)


@pytest.fixture
def authors():
    """Return a training step of the authors: its arrays, our head with the authors' parameters, features, proposals."""
    arrays = golden.load("iterative_head_ce_C4")
    features = torch.from_numpy(arrays["roi_feats"]).double().requires_grad_()
    loss = Weighted(4, loss=CrossEntropyLoss(4), alpha=0.4)
    heads = explicit_heads(features, 4, loss)
    loss.confusion.copy_(torch.from_numpy(arrays["init_fg_confusion_matrix"]))
    loss.seen_counts.copy_(torch.from_numpy(arrays["init_num_inst_cnt"]).long())
    loss.label_weights = torch.from_numpy(arrays["label_weights"])
    for theirs, ours in parameters(heads).items():
        ours.data.copy_(torch.from_numpy(arrays[f"param_{theirs}"]))
    boxes = torch.tensor([[10.0, 10.0, 40.0, 50.0]] * 4).double()
    targets = torch.from_numpy(arrays["bbox_targets"]).double()
    proposals = Instances((100, 100))
    proposals.proposal_boxes = boxes_of(boxes)
    size = boxes[:, 2:] - boxes[:, :2]
    center, half = boxes[:, :2] + size / 2 + targets[:, :2] * size, targets[:, 2:].exp() * size / 2
    proposals.gt_boxes = boxes_of(torch.cat([center - half, center + half], dim=1))
    proposals.gt_classes = torch.from_numpy(arrays["labels"])
    return arrays, heads, features, proposals


def boxes_of(tensor):
    """Return Detectron2's Boxes in double precision. Their constructor converts to float32."""
    boxes = Boxes(tensor)
    boxes.tensor = tensor
    return boxes


def parameters(heads):
    """Return a dict from the authors' parameter names to our parameters."""
    ours = {"bbox_head.fc_cls": heads.box_predictor.cls_score, "bbox_head.fc_reg": heads.box_predictor.bbox_pred}
    for theirs, perceptron in (("cls", heads.feature_update.category), ("loc", heads.feature_update.location)):
        for number, layer in enumerate((perceptron[0], perceptron[2]), start=1):
            ours[f"{theirs}_sub_module.layers.fc{number}"] = layer
    return {f"{name}.{kind}": getattr(layer, kind) for name, layer in ours.items() for kind in ("weight", "bias")}


def test_the_authors_step(authors):
    arrays, heads, features, proposals = authors
    with EventStorage():
        losses = heads._forward_box({"p2": None}, [proposals])
    golden.assert_matches(losses["loss_cls"], arrays["out_loss_cls"], golden.EXACT)
    golden.assert_matches(losses["loss_box_reg"], arrays["out_loss_bbox"], golden.EXACT)
    sum(losses.values()).backward()
    golden.assert_matches(features.grad.mean(dim=(2, 3)) * 49, arrays["g_roi_feats_pooled"], golden.EXACT)
    golden.assert_matches(features.grad[0], arrays["g_roi_feats_first_roi"], golden.SINGLE)
    for name, parameter in parameters(heads).items():
        if f"g_{name}" in arrays:
            single = arrays[f"g_{name}"].dtype == "float32"
            golden.assert_matches(parameter.grad, arrays[f"g_{name}"], golden.SINGLE if single else golden.EXACT)
        else:
            golden.assert_matches(parameter.grad.norm(), arrays[f"gnorm_{name}"], golden.EXACT)
    golden.assert_matches(heads.box_predictor.cls_loss.confusion, arrays["buf_fg_confusion_matrix"], golden.EXACT)
    assert heads.box_predictor.cls_loss.seen_counts.tolist() == arrays["buf_num_inst_cnt"].tolist()


def test_the_authors_predictions_in_each_iteration(authors):
    arrays, heads, features, _ = authors
    for index, (logits, deltas) in enumerate(heads.predictions(features)):
        golden.assert_matches(logits, arrays[f"iter{index}_cls_score"], golden.EXACT)
        golden.assert_matches(deltas, arrays[f"iter{index}_bbox_pred"], golden.EXACT)
    golden.assert_matches(logits, arrays["final_cls_score"], golden.EXACT)


def test_inference_is_the_last_iterations(authors):
    arrays, heads, features, proposals = authors
    heads.eval().float().box_pooler.features = features.detach().float()  # Detectron2's NMS uses single precision
    proposals.proposal_boxes = Boxes(proposals.proposal_boxes.tensor)
    heads.box_predictor.test_score_thresh, heads.box_predictor.test_nms_thresh = 0.0, 1.1
    (found,) = heads._forward_box({"p2": None}, [proposals])
    scores = torch.from_numpy(arrays["final_cls_score"]).softmax(dim=1)[:, :-1]
    golden.assert_matches(found.scores.sort().values, scores.flatten().sort().values, golden.SINGLE)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sizes", [(), ("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", "5", "MODEL.FPN.OUT_CHANNELS", "12")])
def test_trains_and_predicts(loss, sizes):
    torch.manual_seed(0)
    model = build_model(tiny_config(*ITERATIVE, *LOSSES[loss], *sizes))
    for _ in range(2):
        losses = step(model, tiny_batch())
        assert all(torch.isfinite(value) for value in losses.values())
    assert not [name for name, p in model.named_parameters() if p.grad is None and "predictor.bias" not in name]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.eval()
    with torch.no_grad():
        (output,) = model(tiny_batch((0,)))
    assert ((output["instances"].scores >= 0) & (output["instances"].scores <= 1)).all()


@pytest.mark.parametrize("objects", [(0, 0), (0, 2)])
def test_images_without_objects_train(objects):
    model = build_model(tiny_config(*ITERATIVE, *PCB))
    losses = step(model, tiny_batch(objects))
    assert all(torch.isfinite(value) for value in losses.values())


def test_zero_proposals_train():
    none = ("MODEL.RPN.POST_NMS_TOPK_TRAIN", "0", "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", "False")
    losses = step(build_model(tiny_config(*ITERATIVE, *PCB, *none)), tiny_batch((0, 1)))
    assert losses["loss_cls_classes"] == 0
    assert all(torch.isfinite(value) for value in losses.values())
