"""What the C library does with memory that is freed."""

import ctypes
import os
import platform

# glibc's names in malloc.h, and what they are set to (bytes).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_LARGEST_BLOCK, _LARGEST_BLOCK_BEFORE_2_35 = 2**30, 2**25
_PAD = 2**26


def keep_freed_memory() -> bool:
    """Have glibc keep what tensors leave behind for the next ones; True if it does so now.

    By itself it gets large blocks from the kernel and gives them back when they are freed. An iteration's tensors are
    then new pages each time, which the kernel fills with zeros one by one: on a CPU a tenth of a small model's training
    (benchmarks/README.md). From now on the process stays at the highest amount of memory that it needed at a time.

    Nothing is changed with another C library, nor where the environment says how glibc is to do it.
    """
    if platform.libc_ver()[0] != "glibc" or any(map(_is_about_malloc, os.environ)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    if not mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BEFORE_2_35)
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_TOP_PAD, _PAD))


def give_back_freed_memory() -> None:
    """Have glibc give back to the kernel what is free now, after work that needed much and comes once."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _is_about_malloc(variable: str) -> bool:
    """GLIBC_TUNABLES, MALLOC_TRIM_THRESHOLD_ and the like."""
    return variable == "GLIBC_TUNABLES" or (variable.startswith("MALLOC_") and variable.endswith("_"))
