"""Annotation files of millions of objects, parsed once and then mapped into memory by every process."""

from seesaw_d2.data.records.cache.lazy_dicts import CompiledRecords
from seesaw_d2.data.records.cache.store import CompiledFile, open_annotations

__all__ = ["CompiledFile", "CompiledRecords", "open_annotations"]
