"""Generate synthetic datasets for long-tailed instance segmentation in seconds, without a download."""

from seesaw_d2.data.synthetic.config import GlyphConfig, plain_glyphs
from seesaw_d2.data.synthetic.make import GlyphSummary, make_glyphs

__all__ = ["GlyphConfig", "GlyphSummary", "make_glyphs", "plain_glyphs"]
