"""Control how glibc handles freed memory."""

import ctypes
import os
import platform

# Parameters of mallopt in glibc's malloc.h, and their values in bytes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_LARGEST_BLOCK, _LARGEST_BLOCK_BEFORE_2_35 = 2**30, 2**25
_PAD = 2**26


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for later tensors.

    By default, glibc returns large blocks to the kernel. The tensors of each iteration then use new pages, which the
    kernel fills with zeros. This takes a tenth of the training time of a small model on a CPU (benchmarks/README.md).
    With this setting, the memory of the process stays at its peak.

    Returns:
        False if nothing was changed, because the C library is not glibc or environment variables configure malloc.
    """
    if platform.libc_ver()[0] != "glibc" or any(map(_is_about_malloc, os.environ)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    if not mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BEFORE_2_35)
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_TOP_PAD, _PAD))


def give_back_freed_memory() -> None:
    """Return freed memory to the kernel. Call this function after one-time work that needs much memory."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _is_about_malloc(variable: str) -> bool:
    """Return whether an environment variable configures malloc, such as MALLOC_TRIM_THRESHOLD_."""
    return variable == "GLIBC_TUNABLES" or (variable.startswith("MALLOC_") and variable.endswith("_"))
