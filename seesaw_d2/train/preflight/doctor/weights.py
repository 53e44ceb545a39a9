"""Report which parameters of the model come from MODEL.WEIGHTS."""

from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.utils.category_names import check_checkpoint
from seesaw_d2.utils.messages import first_few


def report_weights(preflight: Preflight, findings: Findings) -> None:
    """Report how many parameters were loaded from MODEL.WEIGHTS, and which parameters keep their initial values.

    Args:
        preflight: checks of the training, whose model checks have already loaded the weights.
        findings: object that prints and collects the problems.
    """
    weights, checkpointer = preflight.cfg.MODEL.WEIGHTS, preflight.checkpointer
    if not weights or checkpointer is None:
        findings.note("MODEL.WEIGHTS is empty. The training starts from randomly initialized parameters")
        return
    if warning := check_checkpoint(checkpointer.loaded_categories, checkpointer.categories, must_fit=False):
        findings.note(f"MODEL.WEIGHTS: {warning}")
    found = checkpointer.incompatible
    shapes = [name for name, *_ in found.incorrect_shapes]
    missing = [name for name in found.missing_keys if name not in shapes]  # missing_keys contains the wrong shapes, too
    left_out = sorted(checkpointer.left_out)
    total = len(checkpointer.model.state_dict())
    fitting = total - len({*missing, *shapes, *left_out})
    findings.ok(f"MODEL.WEIGHTS: {fitting} of {total} parameters and buffers come from {weights}")
    for names, reason in (
        (missing, "the file does not have them"),
        (shapes, "they have another shape in the file"),
        (left_out, "MODEL.WEIGHTS_EXCEPT excludes them"),
    ):
        if names:
            listed = first_few(names, limit=12)
            findings.note(f"parameters that keep their initial values, because {reason}: {listed}")
    if found.unexpected_keys:
        findings.note(f"parameters that only the file has: {first_few(found.unexpected_keys, limit=12)}")
