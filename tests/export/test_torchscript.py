"""Test that traced models equal the model, for every head and loss, and for other images than the traced image."""

import numpy as np
import pytest
import torch

from seesaw_d2.errors import OutputError
from seesaw_d2.export import ExportedModel, export_model
from seesaw_d2.export.verification import compare, difference
from tests.export.models import (
    CLS_LOSS,
    HEADS,
    LOSSES,
    classifier,
    detector,
    eager,
    image,
    model_of,
    picture,
    threshold_between,
)

FAST = ("normed_mask", "cascade", "pcb", "EqualizationLossV2", "BalancedGroupSoftmaxLoss")
OTHERS = [(64, 96, 5), (33, 41, 6), (200, 97, 7)]  # other sizes than the traced image. Two of them are padded


def check(cfg, folder):
    """Check that a file exported with one image gives the outputs of the model for other images."""
    written = export_model(cfg, str(folder), "torchscript", picture=picture(96, 128, 1))
    model, exported = model_of(cfg), ExportedModel(written.path)
    for shape in OTHERS:
        expected, found = eager(model, image(*shape)), exported(image(*shape))
        assert len(expected["scores"]) > 0
        assert max(difference(expected, found).values()) <= 1e-5


def fast_first(names):
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("head", fast_first(HEADS))
def test_heads(head, tmp_path):
    check(detector(tmp_path, *HEADS[head]), tmp_path)


@pytest.mark.parametrize("loss", fast_first(LOSSES))
def test_losses(loss, tmp_path):
    check(detector(tmp_path, f"{CLS_LOSS}.NAME", loss), tmp_path)


@pytest.mark.parametrize("traced_on", ["something", "nothing"])
def test_an_image_without_detections(traced_on, tmp_path):
    cfg = detector(tmp_path)
    images = threshold_between(cfg, image(96, 128, 1), image(96, 128, 2))
    traced = images[0] if traced_on == "something" else images[1]
    written = export_model(cfg, str(tmp_path), "torchscript", picture=traced.transpose(1, 2, 0))
    exported = ExportedModel(written.path)
    full, empty = exported(images[0]), exported(images[1])
    assert len(full["scores"]) > 0
    assert {name: values.shape for name, values in empty.items()} == {
        "boxes": (0, 4),
        "classes": (0,),
        "masks": (0, 28, 28),
        "scores": (0,),
    }
    assert max(difference(eager(model_of(cfg), images[0]), full).values()) <= 1e-5


@pytest.mark.parametrize("head", ["normed_mask", "cascade", "pcb"])
@pytest.mark.parametrize("size", [(96, 128), (16, 16)])
def test_an_image_without_proposals(head, size, tmp_path):
    """Test a file that is traced on an image with or without proposals, for both kinds of images."""
    cfg = detector(tmp_path, *HEADS[head], "MODEL.PROPOSAL_GENERATOR.MIN_SIZE", "18", "INPUT.MIN_SIZE_TEST", "0")
    written = export_model(cfg, str(tmp_path), "torchscript", picture=picture(*size, 1))
    model, exported = model_of(cfg), ExportedModel(written.path)
    for shape, some in (((96, 128, 1), True), ((16, 16, 1), False)):
        expected, found = eager(model, image(*shape)), exported(image(*shape))
        assert (len(expected["scores"]) > 0) is some
        assert {name: values.shape for name, values in found.items()} == {
            name: values.shape for name, values in expected.items()
        }
        assert max(difference(expected, found).values()) <= 1e-5


def test_image_classifier(tmp_path):
    cfg = classifier(tmp_path)
    written = export_model(cfg, str(tmp_path), "torchscript", picture=picture(16, 20, 1))
    exported = ExportedModel(written.path)
    probabilities = exported(image(8 + 8, 8 + 8, 3)[:, :8, :8])["probabilities"]
    assert probabilities.shape == (10,)
    expected = eager(model_of(cfg), np.ascontiguousarray(image(16, 16, 3)[:, :8, :8]))["probabilities"]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert exported.metadata["size"] == 8


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype, tmp_path):
    """Test layers in half precision. The outputs are float32 and close to those of the float32 model."""
    cfg = detector(tmp_path, *HEADS["normed_mask"])
    written = export_model(cfg, str(tmp_path), "torchscript", dtype=dtype, picture=picture(96, 128, 1))
    exported = ExportedModel(written.path)
    assert exported.metadata["dtype"] == dtype
    found, full = exported(image(64, 96, 5)), eager(model_of(cfg), image(64, 96, 5))
    assert {values.dtype.name for values in found.values()} == {"float32", "int64"}
    assert 0 < abs(found["scores"][0] - full["scores"][0]) < 0.05


def test_outputs_are_without_gradients(tmp_path):
    """Test that ``.numpy()`` works on the outputs without ``detach``."""
    path = export_model(detector(tmp_path), str(tmp_path / "a.ts"), "torchscript", picture=picture(96, 128, 1)).path
    found = torch.jit.load(path)(torch.from_numpy(image(64, 96, 5)))
    assert [values.numpy().ndim for values in found] == [2, 1, 3, 1]


@pytest.mark.parametrize(("kind", "shape"), [(detector, r"\[3, H, W\]"), (classifier, r"\[3, 8, 8\]")])
def test_other_inputs_are_errors(kind, shape, tmp_path):
    """Test that PyTorch does not broadcast or convert inputs for which the model is wrong, as with ONNX."""
    path = export_model(kind(tmp_path), str(tmp_path / "a.ts"), "torchscript", picture=picture(96, 128, 1)).path
    model = torch.jit.load(path)
    good = torch.from_numpy(image(16, 16, 3)[:, :8, :8].copy())
    assert torch.equal(model(good)[-1], model(good.flip(1).flip(1))[-1])
    for bad in (good / 255, good.double(), good.long()):
        with pytest.raises(torch.jit.Error, match="image: expected dtype uint8"):
            model(bad)
    small = [good[:, :4]] if kind is classifier else []
    for bad in (good[:1], good[0], good[None], good.permute(1, 2, 0), good[:, :0], torch.cat([good, good]), *small):
        with pytest.raises(torch.jit.Error, match=rf"image: expected shape {shape}, found shape \[[0-9, ]+\]"):
            model(bad)


def test_metadata(tmp_path):
    cfg = detector(tmp_path, "INPUT.FORMAT", "RGB", "TEST.DETECTIONS_PER_IMAGE", "7")
    path = export_model(cfg, str(tmp_path / "a.ts"), "torchscript", picture=picture(96, 128, 1)).path
    exported = ExportedModel(path)
    found = exported.metadata
    assert found["classes"] == [f"category {index}" for index in range(7)]
    assert (found["input_format"], found["min_size"], found["max_size"]) == ("RGB", 128, 128)
    assert (found["score_threshold"], found["max_detections"]) == (0.02, 7)
    assert len(exported(image(64, 96, 5))["scores"]) == 7
    assert list(found["outputs"]) == ["boxes", "classes", "masks", "scores"]


def test_another_model_is_noticed(tmp_path):
    """Test that the comparison fails for other scores, boxes or masks, and for additional detections."""
    cfg = detector(tmp_path)
    model, array = model_of(cfg), image(64, 96, 5)
    expected = eager(model, array)
    compare(lambda _: expected, [array], [expected], [expected])
    for name in ("boxes", "scores", "masks"):
        other = {**expected, name: expected[name] + np.float32(3e-4)}
        with pytest.raises(OutputError, match=rf"{name}.* 0\.0001\b"):
            compare(lambda _, other=other: other, [array], [expected], [expected])
    fewer = {name: values[:-1] for name, values in expected.items()}
    with pytest.raises(OutputError, match=r"unmatched.* 0\b"):
        compare(lambda _: fewer, [array], [expected], [expected])
    # Detections in another order are equal.
    shuffled = {name: values[::-1] for name, values in expected.items()}
    assert max(compare(lambda _: shuffled, [array], [expected], [expected]).values()) == 0


def test_a_model_may_differ_by_what_it_makes_of_rounding(tmp_path):
    model, array = model_of(detector(tmp_path)), image(64, 96, 5)
    expected = eager(model, array)
    again, near, far = (
        {**expected, "boxes": expected["boxes"] + np.float32(change)} for change in (1e-2, 2.9e-2, 3.1e-2)
    )
    assert compare(lambda _: near, [array], [expected], [again])["boxes"] > 0.02
    with pytest.raises(OutputError, match=r"boxes.* 0\.03"):
        compare(lambda _: far, [array], [expected], [again])


def test_nothing_stays_replaced(tmp_path):
    """Test that the replaced functions of Detectron2 are restored after an export."""
    from detectron2.layers import Conv2d
    from detectron2.modeling.poolers import ROIPooler
    from detectron2.modeling.proposal_generator import rpn
    from detectron2.structures import Boxes, ImageList, instances

    before = [Conv2d.forward, ROIPooler.forward, rpn.find_top_rpn_proposals, Boxes.__init__, ImageList.from_tensors]
    cfg = detector(tmp_path)
    export_model(cfg, str(tmp_path), "torchscript", picture=picture(96, 128, 1))
    after = [Conv2d.forward, ROIPooler.forward, rpn.find_top_rpn_proposals, Boxes.__init__, ImageList.from_tensors]
    assert before == after
    assert not hasattr(instances, "len")
    with pytest.raises(AssertionError):
        Boxes(torch.zeros(1, 4)).clip((8, 8)) or Boxes(torch.full((1, 4), torch.nan)).clip((8, 8))
