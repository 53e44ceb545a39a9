"""Draw text as it is: matplotlib would typeset what is between dollar signs, and fails where it cannot."""

from contextlib import AbstractContextManager

import matplotlib


def plain_text() -> AbstractContextManager[None]:
    """Return a context, or decorator, in which the texts of new figures are drawn literally."""
    return matplotlib.rc_context({"text.parse_math": False})
