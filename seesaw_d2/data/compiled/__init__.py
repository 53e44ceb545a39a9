"""Annotation files of millions of objects, parsed once and then mapped into memory by every process."""

from seesaw_d2.data.compiled.records import CompiledRecords
from seesaw_d2.data.compiled.store import CompiledFile, open_annotations

__all__ = ["CompiledFile", "CompiledRecords", "open_annotations"]
