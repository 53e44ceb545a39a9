"""All formats of the mutation tests."""

from tests.robustness.mutation import annotation_formats, classification_formats, run_formats

FORMATS = [*annotation_formats.FORMATS, *classification_formats.FORMATS, *run_formats.FORMATS]
