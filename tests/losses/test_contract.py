"""Test the interface of every registered loss.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

import inspect

import pytest
import torch

from seesaw_d2.losses import LOSS_REGISTRY, ClassificationLoss, CrossEntropyLoss

C, N = 6, 12

# Name of an argument without default -> function from the kind of background to a value of the argument.
REQUIRED = {
    "image_frequency": lambda background: torch.linspace(0.0001, 0.5, C),
    "image_counts": lambda background: torch.tensor([2, 5, 50, 500, 5000, 50000]),
    "instance_counts": lambda background: torch.tensor([2, 5, 50, 500, 5000, 50000]),
    "num_images": lambda background: 60000,
    "loss": lambda background: CrossEntropyLoss(C, background=background if background in BACKGROUNDS else "class"),
}
BACKGROUNDS = CrossEntropyLoss.backgrounds
LOSSES = sorted(name for name, _ in LOSS_REGISTRY)
CASES = [(name, background) for name in LOSSES for background in LOSS_REGISTRY.get(name).backgrounds]
every_loss = pytest.mark.parametrize(("name", "background"), CASES)


def make(name, background):
    loss_class = LOSS_REGISTRY.get(name)
    arguments = {
        argument: REQUIRED[argument](background)
        for argument, parameter in inspect.signature(loss_class).parameters.items()
        if argument != "num_classes" and parameter.default is inspect.Parameter.empty
    }
    if "background" in inspect.signature(loss_class).parameters:
        arguments["background"] = background
    return loss_class(C, **arguments)


def batch(loss, num_proposals=N, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_proposals, loss.num_logits, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, loss.num_label_values, (num_proposals,), generator=generator)
    return logits.to(dtype).requires_grad_(), labels


def total(losses):
    return sum(losses.values())


def state(loss):
    return {key: value.clone() for key, value in loss.state_dict().items()}


def assert_same_state(actual, expected):
    assert actual.keys() == expected.keys()
    for key in expected:
        assert torch.equal(actual[key], expected[key]), key


def test_the_registered_names_are_class_names():
    assert {"CrossEntropyLoss", "SeesawLoss"} <= set(LOSSES)
    for name in LOSSES:
        assert LOSS_REGISTRY.get(name).__name__ == name
        assert issubclass(LOSS_REGISTRY.get(name), ClassificationLoss)


@pytest.mark.parametrize("name", LOSSES)
def test_an_unsupported_background_is_refused_by_name(name):
    for background in {"objectness", "class", "implicit", "none", "nonsense"} - set(
        LOSS_REGISTRY.get(name).backgrounds
    ):
        with pytest.raises(ValueError, match=f"background: expected one of .* for {name}, found '{background}'"):
            make(name, background)


@pytest.mark.parametrize("name", LOSSES)
def test_the_default_background_is_the_first_supported_one(name):
    loss_class = LOSS_REGISTRY.get(name)
    default = inspect.signature(loss_class).parameters["background"].default
    if "loss" in loss_class.config_keys:
        assert default is None  # the background of the wrapped loss
    else:
        assert default == loss_class.backgrounds[0]


@every_loss
def test_the_initial_bias_fits_the_classifier(name, background):
    loss = make(name, background)
    bias = loss.initial_bias()
    if bias is not None:
        assert bias.shape == (loss.num_logits,)
        assert torch.isfinite(bias).all()


@every_loss
def test_losses_are_finite_scalars_with_a_gradient(name, background):
    loss = make(name, background)
    logits, labels = batch(loss)
    losses = loss(logits, labels)
    assert losses
    for key, value in losses.items():
        assert key.startswith("loss_cls")
        assert value.shape == ()
        assert value.dtype == torch.float64
        assert torch.isfinite(value)
    total(losses).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any()


@every_loss
def test_no_proposals_give_zeros_that_keep_the_graph(name, background):
    loss = make(name, background)
    logits, labels = batch(loss, num_proposals=0)
    losses = loss(logits, labels)
    assert total(losses) == 0
    total(losses).backward()
    assert logits.grad.shape == (0, loss.num_logits)
    assert loss.probabilities(logits).shape[0] == 0


@pytest.mark.parametrize(("name", "background"), [case for case in CASES if case[1] != "none"])
def test_only_background(name, background):
    loss = make(name, background)
    logits, labels = batch(loss)
    losses = loss(logits, torch.full_like(labels, C))
    for value in losses.values():
        (grad,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert torch.isfinite(value)
        assert torch.isfinite(grad).all()
        assert grad.any() == (value > 0)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits_stay_finite(name, background, dtype, size):
    loss = make(name, background)
    logits, labels = batch(loss, dtype=dtype)
    with torch.no_grad():
        logits[:, ::2] = size
        logits[0] = size
        logits[1, :] = -size
        logits[torch.arange(2, 5), labels[2:5].clamp(max=loss.num_logits - 1)] = -size
    losses = loss(logits, labels)
    total(losses).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert torch.isfinite(logits.grad).all()
    assert torch.isfinite(loss.probabilities(logits)).all()
    assert all(torch.isfinite(value).all() for value in loss.state_dict().values())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(name, background, dtype):
    half, single = make(name, background), make(name, background)
    logits, labels = batch(half, dtype=dtype)
    with torch.autocast("cpu", dtype=dtype):
        losses = half(logits, labels)
        probs = half.probabilities(logits)
    expected = single(logits.detach().float(), labels)
    for key, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[key])
    torch.testing.assert_close(probs.float(), single.probabilities(logits.detach().float()))
    total(losses).backward()
    assert logits.grad.dtype == dtype


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_precision_of_a_model_does_not_change_the_statistics(name, background, dtype):
    """Test that a model that contains the loss does not round its buffers in ``to`` and ``type``, between steps."""
    loss, plain = make(name, background), make(name, background)
    for seed in range(3):
        torch.nn.ModuleList([loss]).to(dtype).type(dtype)
        losses, expected = loss(*batch(loss, seed=seed)), plain(*batch(plain, seed=seed))
        assert all(torch.equal(losses[key], expected[key]) for key in expected)
    assert_same_state(dict(loss.named_buffers()), dict(plain.named_buffers()))


@every_loss
def test_evaluation_changes_no_state(name, background):
    loss = make(name, background).eval()
    before = state(loss)
    logits, labels = batch(loss)
    loss(logits, labels)
    assert_same_state(state(loss), before)


@every_loss
def test_the_computation_is_pure(name, background):
    loss = make(name, background)
    logits, labels = batch(loss)
    loss(logits, labels)
    loss.eval()
    torch.manual_seed(0)
    first = loss(logits, labels)
    torch.manual_seed(0)
    second = loss(logits, labels)
    for key, value in first.items():
        assert torch.equal(value, second[key])


@every_loss
def test_a_loaded_state_continues_where_the_saved_one_was(name, background):
    loss, resumed = make(name, background), make(name, background)
    for seed in range(3):
        loss(*batch(loss, seed=seed))
    resumed.load_state_dict(loss.state_dict())
    assert_same_state(state(resumed), state(loss))
    for each in (loss, resumed):
        torch.manual_seed(0)
        each.result = total(each(*batch(each, seed=3)))
    assert torch.equal(loss.result, resumed.result)
    assert_same_state(state(resumed), state(loss))


@every_loss
def test_counts_are_int64(name, background):
    loss = make(name, background)
    for key, value in loss.state_dict().items():
        if key.endswith("counts"):
            assert value.dtype == torch.int64, key


@every_loss
def test_probabilities(name, background):
    loss = make(name, background)
    logits, _ = batch(loss)
    probs = loss.probabilities(logits)
    assert probs.shape == (N, loss.num_label_values)
    assert ((probs >= 0) & (probs <= 1)).all()


@every_loss
def test_nothing_waits_for_the_device(name, background):
    """Test that losses do not synchronize. On meta tensors without values, operations such as item and nonzero fail."""
    loss = make(name, background).to("meta")
    logits, labels = batch(loss)
    logits, labels = logits.detach().to("meta").requires_grad_(), labels.to("meta")
    for weights, avg_factor in ((None, None), (torch.ones(N, device="meta"), None), (None, 4.0)):
        total(loss(logits, labels, weights, avg_factor)).backward()
    assert logits.grad.shape == logits.shape
    assert loss.probabilities(logits).device.type == "meta"
