"""Test that losses of maps (N, C, H, W) equal those of pixels as rows, and need no more memory than cross-entropy."""

import pytest
import torch
import torch.nn.functional as F

from seesaw_d2.losses import CrossEntropyLoss, FocalLoss, SeesawLoss, SoftmaxEqualizationLoss
from seesaw_d2.losses import logit_maps as maps_module

C, IGNORED = 5, 255


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Reduce the block size, so that each image has several blocks."""
    monkeypatch.setitem(maps_module._BLOCK_BYTES, "cpu", 4 * C * 7)


def maps(shape=(2, C, 4, 6), dtype=torch.float64, ignored=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, C, (shape[0], *shape[2:]), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = IGNORED
    return logits.requires_grad_(), labels


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("shape", [(2, C, 4, 6), (3, C, 11), (2, C, 2, 3, 4), (20, C), (0, C, 4, 4)])
@pytest.mark.parametrize("last", [False, True])
def test_cross_entropy_is_pytorchs(shape, last):
    logits, labels = maps(shape)
    if last and logits.dim() == 4:
        logits = logits.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    found = CrossEntropyLoss(C, background="none")(logits, labels, ignore_index=IGNORED)["loss_cls"]
    expected = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    expected = expected / (labels != IGNORED).sum().clamp(min=1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(3 * found, logits), gradient(3 * expected, logits))


@pytest.mark.parametrize("background", ["none", "class"])
@pytest.mark.parametrize("options", [{}, {"q": 0}, {"p": 3.0}, {"p": 0, "q": 0}])
def test_seesaw_equals_its_rows(background, options):
    """Test that losses, gradients and counts over two batches equal those of rows."""
    num_classes = C - (background == "class")
    of_maps, of_rows = (SeesawLoss(num_classes, background=background, **options) for _ in range(2))
    for seed in range(2):
        logits, labels = maps(seed=seed)
        weights = torch.rand(labels.shape, dtype=torch.float64)
        kept = labels != IGNORED
        found = of_maps(logits, labels, weights, avg_factor=7.0, ignore_index=IGNORED)["loss_cls"]
        rows = logits.movedim(1, -1)[kept]
        expected = of_rows(rows, labels[kept], weights[kept], avg_factor=7.0)["loss_cls"]
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradient(found, logits), gradient(expected, logits))
        assert of_maps.class_counts.dtype == torch.int64
        assert torch.equal(of_maps.class_counts, of_rows.class_counts)
    assert of_maps.class_counts.sum() > 0


def test_no_labelled_pixel():
    logits, labels = maps(ignored=2)
    loss = SeesawLoss(C, background="none")
    value = loss(logits, labels, ignore_index=IGNORED)["loss_cls"]
    assert value == 0
    assert not gradient(value, logits).any()
    assert not loss.class_counts.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype):
    logits, labels = maps(dtype=dtype)
    found = SeesawLoss(C, background="none")(logits, labels, ignore_index=IGNORED)["loss_cls"]
    wide = logits.detach().float().requires_grad_()
    expected = SeesawLoss(C, background="none")(wide, labels, ignore_index=IGNORED)["loss_cls"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert gradient(found, logits).dtype == dtype


@pytest.mark.parametrize("size", [1e-8, 1e-3, 1e6])
def test_weights_do_not_overflow_in_half_precision(size):
    """Test the gradient of a loss that a gradient scaler has multiplied by 65536, against that in float64."""
    logits, labels = maps(dtype=torch.float16)
    weights = size * torch.rand(labels.shape, generator=torch.Generator().manual_seed(1))
    weights[0, 0] = 0
    loss = CrossEntropyLoss(C, background="none")
    divisor = 100 * size
    found = loss(logits, labels, weights, divisor, ignore_index=IGNORED)["loss_cls"]
    wide = logits.detach().double().requires_grad_()
    expected = loss(wide, labels, weights, divisor, ignore_index=IGNORED)["loss_cls"]
    found, expected = gradient(65536 * found, logits), gradient(65536 * expected, wide)
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=1e-3)
    assert found.any()


def test_weights_with_a_gradient_are_refused():
    logits, labels = maps()
    weights = torch.ones(labels.shape, requires_grad=True)
    with pytest.raises(ValueError, match="weights: expected a tensor that does not require a gradient"):
        CrossEntropyLoss(C, background="none")(logits, labels, weights, ignore_index=IGNORED)


def largest_tensors(logits, loss_of):
    """Return the number of tensors of the logits' size or more that the forward and backward pass allocate."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        made: set[int] = set()  # noqa: RUF012
        kept: list = []  # noqa: RUF012 (so that no address is used twice)

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            for each in found if isinstance(found, (tuple, list)) else (found,):
                if isinstance(each, torch.Tensor) and each.untyped_storage().nbytes() >= logits.nbytes:
                    self.made.add(each.untyped_storage().data_ptr())
                    self.kept.append(each)
            return found

    with Sizes() as sizes:
        loss_of(logits).backward()
    return len(sizes.made - {logits.untyped_storage().data_ptr()})


def test_memory_is_that_of_cross_entropy():
    logits, labels = maps((2, C, 32, 32), torch.float32)
    theirs = largest_tensors(logits, lambda z: F.cross_entropy(z, labels, ignore_index=IGNORED))
    loss = SeesawLoss(C, background="none")
    ours = largest_tensors(logits, lambda z: loss(z, labels, ignore_index=IGNORED)["loss_cls"])
    assert 0 < ours <= theirs


@pytest.mark.parametrize(
    ("loss", "match"),
    [
        (SeesawLoss(C), "objectness"),
        (FocalLoss(C), "FocalLoss"),
        (SoftmaxEqualizationLoss(C, image_frequency=[0.1] * C), "SoftmaxEqualizationLoss"),
    ],
)
def test_losses_without_maps(loss, match):
    logits, labels = maps()
    with pytest.raises(ValueError, match=match):
        loss(logits, labels, ignore_index=IGNORED)


def test_wrong_shapes_and_labels():
    loss = SeesawLoss(C, background="none")
    logits, labels = maps()
    for wrong, message in [(labels[:, :3], "labels"), (labels.float(), "int64"), (labels + 1, "labels")]:
        with pytest.raises(ValueError, match=message):
            loss(logits, wrong, ignore_index=IGNORED)
    with pytest.raises(ValueError, match="num_logits"):
        loss(logits[:, 1:], labels, ignore_index=IGNORED)
    with pytest.raises(ValueError, match="255"):
        loss(logits, labels)
