"""What people look at: tables and pictures."""

from .predictions import draw_predictions
from .tables import METRICS, results_table

__all__ = ["METRICS", "draw_predictions", "results_table"]
