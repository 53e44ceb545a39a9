"""Test faults and synchronizations that occur only on GPUs: collectives, devices, transfers. No GPU is needed."""

import datetime
import time
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from seesaw_d2 import compat
from seesaw_d2.data.sampling.loaders import _prefetching_device
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.losses.row_sums import sum_rows
from seesaw_d2.modeling.image_classifier import ImageClassifier
from seesaw_d2.modeling.iterative_heads import FeatureUpdate
from seesaw_d2.modeling.roi_align_gradient import interpolation_weights
from seesaw_d2.train import load_config, run
from seesaw_d2.train.checkpoints import hooks
from seesaw_d2.train.launch import launcher
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.launch.signals import STOP
from seesaw_d2.train.monitoring import _log_counts
from seesaw_d2.train.preflight.config_checks import resolve_device
from seesaw_d2.train.step_report import StepReport, read_reports, reduced_values, store_report
from seesaw_d2.utils import distributed


def test_the_stop_flag_travels_with_the_losses(monkeypatch):
    values = reduced_values(torch.tensor([2.0, 3.0]), torch.tensor(True), 0.5, signalled=True)
    assert values.tolist() == [0, 1, 2, 3, 0.5]
    monkeypatch.setattr(hooks, "world_size", lambda: 2)
    for name in ("all_reduce", "all_gather", "broadcast", "barrier"):  # no collective in an iteration
        monkeypatch.setattr(dist, name, lambda *_, **__: pytest.fail("a collective"))
    monkeypatch.setattr(STOP, "signum", 15)  # only this process knows the signal
    hook = hooks.CheckpointHook(None, period=100)
    hook.trainer = SimpleNamespace(iter=3, max_iter=10, signalled=False)
    hook.after_step()


def test_metrics_of_several_iterations_are_read_by_one_transfer(monkeypatch):
    def report(number):
        scalars = [(["a"], torch.tensor([number + 0.25])), (["b", "c"], torch.tensor([float("nan"), 0.1]))]
        values = reduced_values(torch.tensor([1.5 + number]), torch.tensor(True), 0.0)
        return StepReport(number, ["loss"], values, torch.empty(0), None, [], {}, scalars)

    reports, read, transfers = [report(0), report(1)], torch.Tensor.tolist, []
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: transfers.append(1) or read(tensor))
    rows = read_reports(reports)
    assert len(transfers) == 1
    with EventStorage() as storage:
        for measured, row in zip(reports, rows, strict=True):
            store_report(measured, row)
        latest = {name: value for name, (value, _) in storage.latest().items()}
    assert len(transfers) == 1
    assert latest == {"a": 1.25, "c": read(torch.tensor(0.1)), "data_time": 0.0, "total_loss": 2.5}


def test_buffers_are_broadcast_at_once_and_those_that_a_process_lacks_are_left_out(monkeypatch):
    model = nn.Module()
    for index in range(5):
        model.register_buffer(f"float{index}", torch.full((index + 1,), 1.0))
    model.register_buffer("count", torch.tensor(1))
    model.register_buffer("groups", torch.tensor([1]))  # the other process has no annotations

    def gather(described, own):
        described[:] = [{name: each for name, each in own.items() if name != "groups"}, own]

    sent = []

    def receive(tensor, src):
        sent.append(tensor)
        tensor.fill_(7)

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    monkeypatch.setattr(dist, "broadcast", receive)
    distributed.broadcast_buffers(model)
    assert len(sent) == 2  # one collective for each data type
    assert all((buffer == (1 if name == "groups" else 7)).all() for name, buffer in model.named_buffers())


def test_a_numbered_gpu_is_the_current_one_and_no_device_of_several_processes(config_file, monkeypatch):
    cfg = load_config(str(config_file), ["MODEL.DEVICE", "cuda:1", "DATALOADER.PIN_MEMORY", "True"])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert _prefetching_device(cfg) == torch.device("cuda:1")
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    launcher.launch(lambda: None, ProcessLayout(), launcher.Group("cuda:1", 1.0, ""), ())
    assert chosen == [torch.device("cuda:1")]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"MODEL.DEVICE.*cuda:1"):
        resolve_device(cfg, ProcessLayout(size=2, local_size=2))


def test_objects_are_gathered_with_the_jobs_time_out(monkeypatch):
    made = {}
    monkeypatch.setattr(dist, "get_backend", lambda: "nccl")
    monkeypatch.setattr(dist, "new_group", lambda **options: made.update(options) or "group")
    monkeypatch.setattr(comm, "_get_global_gloo_group", comm._get_global_gloo_group)  # restored afterwards
    compat.set_object_group(datetime.timedelta(minutes=90))
    assert made == {"backend": "gloo", "timeout": datetime.timedelta(minutes=90)}
    assert comm._get_global_gloo_group() == "group"


def test_a_process_that_waits_long_for_the_checks_says_so(monkeypatch, capsys):
    def gather(outcome):
        time.sleep(0.3)
        return ["job"]

    monkeypatch.setattr(run, "_PATIENCE", 0.02)
    monkeypatch.setattr(comm, "get_local_rank", lambda: 1)
    monkeypatch.setattr(comm, "get_rank", lambda: 3)
    monkeypatch.setattr(comm, "all_gather", gather)
    assert run.agreed(lambda: pytest.fail("the first process checks")) == "job"
    assert "rank 3:" in capsys.readouterr().err


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_rows_are_summed_in_a_fixed_order_on_a_gpu():
    with FakeTensorMode(), Operations() as seen:
        sums = sum_rows(torch.empty(8, 3, device="cuda"), torch.empty(8, dtype=torch.int64, device="cuda"), 4)
    assert sums.shape == (4, 3)
    assert not [name for name in seen.names if name.startswith(("index_add", "scatter_add"))]
    rows, index = torch.rand(50, 3, dtype=torch.float64), torch.randint(4, (50,))
    torch.testing.assert_close(
        sum_rows(rows, index, 4), rows.new_zeros(4, 3).index_put_((index,), rows, accumulate=True)
    )


def test_the_update_of_features_stays_finite_in_float16():
    update = FeatureUpdate(3, 8, 4, (2, 2), 1, 8, False).half()
    for parameter in update.parameters():
        nn.init.constant_(parameter, 100.0)
    found = update(torch.full((2, 4, 2, 2), 90.0).half(), torch.ones(2, 3).half(), torch.ones(2, 8).half())
    assert found.isfinite().all()


def test_groups_are_copied_once():
    copies = []
    groups = SimpleNamespace(cpu=lambda: copies.append(1) or torch.tensor([0, 1, 2]))
    with EventStorage() as storage:
        _log_counts(torch.tensor([1.0, 1.0, 2.0]), groups)
        assert storage.latest()["class_counts/share_frequent"][0] == 0.5
    assert len(copies) == 1


def test_gradients_of_pooling_are_computed_on_the_device_of_the_boxes():
    start, size = torch.tensor([1.0, 2.5]), torch.tensor([4.0, 3.0])
    expected = interpolation_weights(start, size, 2, 8, 2)
    try:
        torch.set_default_device("meta")  # tensors without an explicit device would be on "meta"
        found = interpolation_weights(start, size, 2, 8, 2)
    finally:
        torch.set_default_device(None)
    assert torch.equal(found, expected)


def test_labels_of_images_are_sent_before_the_backbone_runs(monkeypatch):
    order = []
    monkeypatch.setattr(ImageClassifier, "labels", lambda *_: order.append("labels") or torch.tensor([0]))
    monkeypatch.setattr(ImageClassifier, "features", lambda *_: order.append("backbone") or torch.zeros(1, 4))
    model = ImageClassifier.__new__(ImageClassifier)
    nn.Module.__init__(model)
    model.classifier, model.cls_loss = nn.Linear(4, 3), CrossEntropyLoss(3, background="none")
    model._find_groups = model.groups = None
    with EventStorage():
        model([{"image": torch.zeros(3, 8, 8), "label": 0}])
    assert order == ["labels", "backbone"]
