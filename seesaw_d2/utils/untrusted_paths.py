"""Build paths from untrusted names in files, configs and URLs, so that the paths do not lead out of a given folder."""

import os
import re

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.messages import shown

# Matches the first part of a Windows path ("C:", "C:name") or of a URL ("https:"). Other names may contain colons, such
# as the time in "12:30:00.jpg", except on Windows, whose file names cannot contain colons.
_ROOT = re.compile(r".*:" if os.name == "nt" else r"[A-Za-z]:|.*:$")
_MAX_BYTES = 200  # a path component may have at most this number of bytes. File systems allow 255


def leads_outside(name: str) -> bool:
    """Return whether a path is absolute, or leads out of the folder to which the path is relative."""
    # The name may come from Windows, where backslashes are separators.
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or _ROOT.match(parts[0]) is not None or "\0" in name


def below(folder: str, name: str, what: str = "name") -> str:
    """Join a folder and an untrusted name, and return the path. It cannot lead out of the folder.

    Args:
        folder: the folder that must contain the path.
        name: untrusted name, possibly with subfolders.
        what: config key, or description of the name, for the message.

    Raises:
        ConfigError: the name is empty, absolute, too long for a file system or not printable, or has a component ``.``
            or ``..``.
    """
    if leads_outside(name) or not all(_is_part(part) for part in name.replace("\\", "/").split("/")):
        raise ConfigError(
            f"{what}: expected a relative path of printable characters without . and .., found {shown(name)}"
        )
    return os.path.join(folder, name)


def _is_part(text: str) -> bool:
    try:
        return text not in ("", ".") and text.isprintable() and len(text.encode()) <= _MAX_BYTES
    except UnicodeError:  # an unpaired surrogate has no UTF-8 code
        return False
