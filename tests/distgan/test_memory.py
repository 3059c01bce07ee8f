"""Freed memory stays with the process: the pages of a large tensor are not taken from the kernel again and again."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from distgan.engine.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(10 << 20)  # 40 MiB, more than glibc ever keeps by itself
before = faults()
for _ in range(10):
    torch.ones(10 << 20)
print(faults() - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_taken_once() -> None:
    assert faults("given back") > 4 * faults("kept")
