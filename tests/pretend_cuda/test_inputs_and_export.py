"""Test image classifiers, prefetching, bfloat16 and exported detectors on a simulated GPU."""

import contextlib
import copy
from unittest import mock

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from seesaw_d2.data.images.prefetch import ToDevice, prefetched
from seesaw_d2.export.graph import predict
from seesaw_d2.export.traceable import traceable
from seesaw_d2.train import load_config
from seesaw_d2.utils.deferred_scalars import kept_scalars
from tests.modeling.test_autocast import HEADS
from tests.modeling.tiny import tiny_batch
from tests.pretend_cuda.context import PretendedCuda
from tests.pretend_cuda.device import CUDA, to_device, to_host
from tests.pretend_cuda.test_steps import build, step


def labelled(count=4):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 8, 8, generator=generator) * 255
    return [{"image": image, "label": number % 3} for number, image in enumerate(images)]


def classified(model, batch):
    with EventStorage(), kept_scalars():
        losses = model.train()(batch)
    sum(losses.values()).backward()
    return dict(losses), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", ["digits/seesaw.yaml", "digits/ce.yaml"])
def test_an_image_classifier_waits_for_nothing(config):
    torch.manual_seed(0)
    model = build_model(load_config(f"configs/{config}", ["MODEL.DEVICE", "cpu"]))
    model._find_groups = None  # there is no dataset
    expected = classified(copy.deepcopy(model), labelled())
    with PretendedCuda() as cuda:
        found = classified(to_device(model), labelled())
    assert not cuda.at("wait")
    assert not cuda.places("mixed", "seesaw_d2")
    assert not cuda.places("copy", "seesaw_d2")
    torch.testing.assert_close(to_host(found[0]), expected[0])
    torch.testing.assert_close(to_host(found[1]), expected[1])


class Stream:
    """Replace a CUDA stream. All its work is always finished."""

    def __init__(self, device=None):
        self.waited = []

    def record_event(self):
        return "event"

    def wait_event(self, event):
        self.waited.append(event)


def test_the_prefetcher_sends_every_tensor_of_a_batch_without_waiting():
    batches = [[{**item, "sem_seg": torch.zeros(8, 8, dtype=torch.int64)} for item in labelled(2)] for _ in range(3)]
    current, kept = Stream(), []
    streams = {"Stream": Stream, "stream": lambda _: contextlib.nullcontext(), "current_stream": lambda _: current}
    with PretendedCuda() as cuda, mock.patch.multiple(torch.cuda, **streams):
        with mock.patch.object(torch.Tensor, "record_stream", lambda tensor, stream: kept.append(stream)):
            found = list(prefetched(batches, ToDevice(CUDA)))
        assert all(item[key].device == CUDA for batch in found for item in batch for key in ("image", "sem_seg"))
        hosts = [to_host(item["image"]) for batch in found for item in batch]
    assert not cuda.at("wait")
    assert not cuda.places("copy", "seesaw_d2")
    assert current.waited == ["event"] * 3
    assert kept == [current] * 12
    sent = [item["image"] for batch in batches for item in batch]
    assert all(map(torch.equal, hosts, sent))
    assert [item["label"] for batch in found for item in batch] == [0, 1] * 3


@pytest.mark.parametrize("head", HEADS)
def test_a_step_in_bfloat16(head):
    model = build(*HEADS[head])
    expected, _ = step(copy.deepcopy(model), tiny_batch(), torch.bfloat16)
    with PretendedCuda() as cuda:
        losses, _ = step(to_device(model), tiny_batch(), torch.bfloat16)
    assert not cuda.places("mixed", "seesaw_d2")
    torch.testing.assert_close(to_host(losses), dict(expected))


@pytest.mark.parametrize("head", ["mask_rcnn", "cascade"])
def test_the_part_of_a_detector_that_is_exported(head):
    model = build(*HEADS[head], "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0").eval()
    image = tiny_batch()[0]["image"]
    with torch.no_grad(), traceable():
        expected = predict(copy.deepcopy(model), image)
        with PretendedCuda() as cuda:
            found = to_host(predict(to_device(model), to_device(image)))
    assert not cuda.places("mixed", "seesaw_d2")
    assert len(expected["scores"])
    torch.testing.assert_close(found, expected)
