"""The parts of the examination, in their order."""

from collections.abc import Sequence

from detectron2.config import CfgNode

from seesaw_d2.config.loading import load_config
from seesaw_d2.data import register_datasets
from seesaw_d2.data.sampling.repeat_factors import validate_sampling
from seesaw_d2.modeling import freeze
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.monitoring import check_monitoring
from seesaw_d2.train.preflight.doctor.data import examine_data
from seesaw_d2.train.preflight.doctor.disk import examine_disk
from seesaw_d2.train.preflight.doctor.environment import examine_environment
from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.train.preflight.doctor.step import examine_step
from seesaw_d2.train.preflight.doctor.weights import examine_weights
from seesaw_d2.train.preflight.job_checks import check_names, check_solver, resolve_device
from seesaw_d2.train.preflight.keys import Layer, check_written, written_layers
from seesaw_d2.train.preflight.schedule import apply_schedule, check_schedule, scale_to_processes


def examine(
    config_file: str,
    overrides: Sequence[str] = (),
    *,
    num_processes: int = 1,
    quick: bool = False,
    workers: int = 4,
    findings: Findings | None = None,
) -> list[str]:
    """Examine a training without writing anything.

    Args:
        config_file, overrides: as of ``train_net.py``.
        num_processes: that the training will have, on all machines.
        quick: leave out the decoding of all images.
        workers: >= 1, processes that decode.
        findings: where what is found is printed; standard output by default.

    Returns:
        what to fix, a line each; empty if nothing is wrong.
    """
    findings = findings or Findings()
    with findings.section("environment"):
        examine_environment(findings, num_processes)
    cfg = None
    with findings.section("config"):
        cfg = load_config(config_file, overrides)
    if cfg is None:
        return findings.to_fix
    _examine_config(cfg, written_layers(config_file, overrides), findings, num_processes)
    with findings.section("data"):
        register_datasets(cfg)
        examine_data(cfg, findings, decode=not quick, workers=workers)
    _examine_model(cfg, findings, num_processes)
    return findings.to_fix


def _examine_config(cfg: CfgNode, written: Sequence[Layer], findings: Findings, num_processes: int) -> None:
    before = len(findings.to_fix)
    for check in (
        resolve_device,
        check_names,
        lambda cfg: check_written(cfg, written),
        lambda cfg: (scale_to_processes(cfg, num_processes), check_solver(cfg, num_processes)),
        check_schedule,
        validate_sampling,
        check_monitoring,
    ):
        with findings.attempt():
            check(cfg)
    if len(findings.to_fix) == before:
        findings.ok(f"keys and values are right; MODEL.DEVICE {cfg.MODEL.DEVICE}")


def _examine_model(cfg: CfgNode, findings: Findings, num_processes: int) -> None:
    """What needs the model: not if the data or the config, which it is built from, are wrong."""
    if findings.to_fix:
        findings.note("weights, memory and disk are looked at once the above is mended")
        return
    with findings.section("weights"):
        on_cpu = cfg.clone()
        on_cpu.MODEL.DEVICE = "cpu"
        model = freeze(build_model(on_cpu), cfg.MODEL.FREEZE.NAMES, cfg.MODEL.FREEZE.EXCEPT)
        examine_weights(cfg, model, findings)
    if findings.to_fix:
        return
    size = 0
    with findings.section("memory"):
        findings.ok(f"schedule: {apply_schedule(cfg).describe()}")
        size = examine_step(cfg, model, findings, num_processes)
    with findings.section("disk"):
        examine_disk(cfg, findings, size)
