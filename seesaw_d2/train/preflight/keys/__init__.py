"""Find the config keys that the user wrote, and reject those that have no effect."""

from seesaw_d2.train.preflight.keys.check import check_written, needs_of, passed_over
from seesaw_d2.train.preflight.keys.written import Layer, written_layers

__all__ = ["Layer", "check_written", "needs_of", "passed_over", "written_layers"]
