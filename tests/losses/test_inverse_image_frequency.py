"""Test that InverseImageFrequencyLoss equals the paper's equations and the numbers of the reference."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import CrossEntropyLoss, InverseImageFrequencyLoss
from seesaw_d2.losses.build import build_loss
from seesaw_d2.losses.link_functions import LINKS
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.inverse_image_frequency import inverse_image_frequency
from tests.reference.link_functions import link as literal_link

C, IMAGES, INSTANCES, TOTAL = 4, [1, 10, 100, 300], [1, 12, 300, 900], 1000
VARIANTS = [*LINKS, *(f"{link}_obj" for link in LINKS)]


def make(image_counts=IMAGES, instance_counts=INSTANCES, num_images=TOTAL, num_classes=C, **arguments):
    counts = {"image_counts": image_counts, "instance_counts": instance_counts, "num_images": num_images}
    return InverseImageFrequencyLoss(num_classes, **counts, **arguments)


@pytest.mark.parametrize("background", InverseImageFrequencyLoss.backgrounds)
@pytest.mark.parametrize(("counts", "numbers", "total"), [("images", IMAGES, TOTAL), ("instances", INSTANCES, 1213)])
def test_the_papers_equation(background, counts, numbers, total):
    loss = make(counts=counts, background=background)
    weights = literal_link("raw", numbers, total)
    logits, labels = random_batch(loss.num_logits, C)
    if background == "none":
        labels = labels % C
    width = C + (background == "class")
    rows = zip(logits[:, :width].tolist(), labels.tolist(), strict=True)
    expected = sum(inverse_image_frequency(z, y, [*weights, 1.0]) for z, y in rows if y < width) / len(labels)
    losses = loss(logits, labels)
    assert next(iter(losses.values())).item() == pytest.approx(expected, rel=1e-10)
    scaled = torch.cat([logits[:, :C] * torch.tensor(weights), logits[:, C:]], dim=1)
    plain = CrossEntropyLoss(C, background=background)
    torch.testing.assert_close(losses, plain(scaled, labels))
    torch.testing.assert_close(loss.probabilities(logits), plain.probabilities(scaled))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", golden.names("iif"))
def test_the_references_numbers(name, variant):
    arrays = golden.load(name, "golden2")
    loss = make(
        *(arrays["image_count"], arrays["instance_count"], int(arrays["n_images"])),
        num_classes=len(arrays["image_count"]),
        link=variant.removesuffix("_obj"),
        counts="instances" if variant.endswith("_obj") else "images",
        allow_negative=True,
    )
    golden.assert_matches(loss.link_weights, arrays[f"{variant}_weight"][:-1], golden.EXACT)
    logits = torch.from_numpy(arrays["logits"]).double().requires_grad_()
    labels, weights = torch.from_numpy(arrays["labels"]), torch.from_numpy(arrays["label_weights"])
    losses = loss(logits, labels, weights, float(arrays["avg_factor"]))
    golden.assert_matches(losses["loss_cls"], arrays[f"{variant}_loss"], golden.EXACT)
    golden.assert_matches(gradient(losses, logits), arrays[f"{variant}_grad"], golden.EXACT)
    golden.assert_matches(loss.probabilities(logits), arrays[f"{variant}_scores"], golden.EXACT)


@pytest.mark.parametrize(
    ("link", "frequent"), [("prob", 500), ("normit", 700), ("gombit", 640), ("raw", 1000), ("prob", 1000)]
)
def test_weights_that_are_not_positive_are_refused(link, frequent):
    counts = [*IMAGES[:-1], frequent]
    with pytest.raises(ValueError, match=f"link: .*{link}.* {frequent / 10:.1f}%"):
        make(counts, link=link)
    assert make(counts, link="smooth").link_weights.min() >= 1
    if frequent < TOTAL:
        assert make(counts, link=link, allow_negative=True).link_weights.min() <= 0


def test_a_category_without_images_counts_as_if_it_had_one():
    assert torch.equal(make([0, 10, 100, 300]).link_weights, make([1, 10, 100, 300]).link_weights)


def test_without_counts_the_weights_come_from_a_checkpoint(caplog):
    saved, other = make(), make([300, 100, 10, 1])
    logits, labels = random_batch(saved.num_logits, C)
    unknown = make(None, None, None)
    unknown.load_state_dict(make(None, None, None).state_dict())  # this state has no weights either
    for use in (lambda: unknown(logits, labels), lambda: unknown.probabilities(logits)):
        with pytest.raises(ValueError, match="image_counts"):
            use()
    unknown.load_state_dict(saved.state_dict())
    assert torch.equal(unknown.probabilities(logits), saved.probabilities(logits))
    assert torch.equal(unknown(logits, labels)["loss_cls"], saved(logits, labels)["loss_cls"])
    expected = other.probabilities(logits)
    assert not caplog.text
    other.load_state_dict(saved.state_dict())  # the counts that were passed define the weights
    assert torch.equal(other.probabilities(logits), expected)
    index = (saved.link_weights / other.link_weights).argmax()
    weights = rf"{other.link_weights[index]:.4g}.*{saved.link_weights[index]:.4g} in the loaded checkpoint"
    assert re.search(rf"category {index} has the weight {weights}", caplog.text)
    caplog.clear()
    other.load_state_dict({name: value.bfloat16() for name, value in other.state_dict().items()})
    assert not caplog.text


def test_the_config_and_its_refusal():
    cfg = load_config("", ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "InverseImageFrequencyLoss"])
    node, known = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS, {"image_count": np.array(IMAGES), "num_images": TOTAL}
    statistics = SimpleNamespace(**known, instance_count=np.array(INSTANCES), num_annotated_images=900)
    assert torch.equal(build_loss(cfg, C, lambda: statistics).link_weights, make().link_weights)
    node.IIF.COUNTS, node.IIF.LINK = "instances", "prob"
    with pytest.raises(ConfigError, match=r"CLS_LOSS\.IIF\.LINK: .*prob.* 74.2% of the training instances"):
        build_loss(cfg, C, lambda: statistics)
    node.IIF.LINK = "base2"
    loss = build_loss(cfg, C, lambda: statistics)
    assert torch.equal(loss.link_weights, make(counts="instances", link="base2").link_weights)


@pytest.mark.parametrize("num_images", [0, max(IMAGES) - 1, 2.5, "900"])
@pytest.mark.parametrize("link", ["smooth", "raw"])
def test_a_category_is_in_at_most_all_images(link, num_images):
    with pytest.raises(ValueError, match=rf"num_images: expected an integer >= .*, found {num_images!r}"):
        make(num_images=num_images, link=link)


@pytest.mark.parametrize("arguments", [{"link": "linear"}, {"counts": "boxes"}])
def test_names_are_checked(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"{name}: .*{value}"):
        make(**arguments)
