"""Examine a training before it starts: environment, config, data, weights, memory and disk."""

from collections.abc import Callable, Sequence

from seesaw_d2.config.loading import load_config
from seesaw_d2.train.preflight.doctor.data import examine_data
from seesaw_d2.train.preflight.doctor.disk import examine_disk
from seesaw_d2.train.preflight.doctor.environment import examine_environment
from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.train.preflight.doctor.trial_step import examine_step
from seesaw_d2.train.preflight.doctor.weights import report_weights
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.preflight.keys.written import written_layers
from seesaw_d2.train.preflight.output_folder import FolderInUse


def examine(
    config_file: str,
    overrides: Sequence[str] = (),
    *,
    num_processes: int = 1,
    quick: bool = False,
    workers: int = 4,
    findings: Findings | None = None,
) -> list[str]:
    """Find the problems of a training, without writing files.

    The function runs the checks of ``train_net.py`` and slower checks, such as decoding all images and training a step.

    Args:
        config_file, overrides: path of the config, and keys and values in turn, as on the command line of
            ``train_net.py``.
        num_processes: number of processes of the training on all machines.
        quick: whether to skip decoding the images.
        workers: >= 1, number of processes that decode images.
        findings: object that prints and collects the problems. If None, the function prints to standard output.

    Returns:
        the problems that the user must fix, one text for each problem.
    """
    findings = findings or Findings()
    with findings.section("environment"):
        examine_environment(findings, num_processes)
    preflight = None
    with findings.section("config"):
        cfg = load_config(config_file, overrides)
        written = written_layers(config_file, overrides)
        preflight = Preflight(cfg, world_size=num_processes, written=written)
    if preflight is None:
        return findings.to_fix
    _examine_config(preflight, findings)
    with findings.section("data"):
        examine_data(preflight, findings, decode=not quick, workers=workers)
    _examine_model(preflight, findings)
    return findings.to_fix


def _examine_config(preflight: Preflight, findings: Findings) -> None:
    before = len(findings.to_fix)
    findings.run(preflight.config_checks())
    if len(findings.to_fix) == before:
        findings.ok(f"all keys and values are valid. MODEL.DEVICE is {preflight.cfg.MODEL.DEVICE}")


def _examine_model(preflight: Preflight, findings: Findings) -> None:
    """Build the model, load its weights, train one step, and examine the disk space.

    If earlier checks found problems, check only the file MODEL.WEIGHTS and OUTPUT_DIR.
    """
    check_folder, check_weights = preflight.file_checks()
    if findings.to_fix:
        with findings.section("weights"):
            check_weights()
        with findings.section("disk"):
            _examine_folder(check_folder, findings)
        findings.note("the model, memory and disk space are not examined until the problems above are fixed")
        return
    with findings.section("weights"):
        for check in (check_weights, *preflight.model_checks()):
            check()
        report_weights(preflight, findings)
    if findings.to_fix:
        return
    size = 0
    with findings.section("memory"):
        size = examine_step(preflight, findings)
    with findings.section("disk"):
        with findings.attempt():
            _examine_folder(check_folder, findings)
        examine_disk(preflight.cfg, findings, size)


def _examine_folder(check: Callable[[], object], findings: Findings) -> None:
    """Call ``check``, which checks OUTPUT_DIR. Report an existing run as a note, because the user may resume it."""
    try:
        check()
    except FolderInUse as error:
        findings.note(str(error))
