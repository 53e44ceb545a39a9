"""Control what the C library glibc does with freed memory."""

import ctypes
import os
import platform

# Numbers of parameters of glibc's mallopt, from malloc.h. The constants below are values of parameters in bytes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1  # trim threshold: glibc gives free memory at the heap's end to the kernel only above this size
# As mmap threshold: glibc gives larger blocks to the kernel when they are freed. Before 2.35, glibc allows only 2**25.
_LARGEST_BLOCK, _LARGEST_BLOCK_BEFORE_2_35 = 2**30, 2**25
_PAD = 2**26  # top pad: when the heap grows, glibc requests this many bytes more than needed


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for later tensors.

    By default, glibc returns large freed blocks to the kernel. The tensors of the next iteration then use new memory
    pages, which the kernel must fill with zeros. For a small model on a CPU, filling the pages takes a tenth of the
    training time (benchmarks/README.md). After a call of this function, the memory of the process stays at its peak.

    Returns:
        whether the function changed the parameters of glibc. The result is False if the C library is not glibc, or if
        environment variables configure malloc.
    """
    if platform.libc_ver()[0] != "glibc" or any(map(_is_about_malloc, os.environ)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    if not mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BEFORE_2_35)
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_TOP_PAD, _PAD))


def give_back_freed_memory() -> None:
    """Return freed memory to the kernel, if the C library is glibc.

    Call this function after an operation that needs much memory and runs only once.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _is_about_malloc(variable: str) -> bool:
    """Return whether an environment variable configures malloc, such as MALLOC_TRIM_THRESHOLD_."""
    return variable == "GLIBC_TUNABLES" or (variable.startswith("MALLOC_") and variable.endswith("_"))
