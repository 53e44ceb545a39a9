"""List all file formats of the mutation tests."""

from tests.robustness.mutation import (
    annotation_formats,
    classification_formats,
    media_formats,
    report_formats,
    run_formats,
)

_MODULES = (annotation_formats, classification_formats, run_formats, report_formats, media_formats)
FORMATS = [form for module in _MODULES for form in module.FORMATS]
