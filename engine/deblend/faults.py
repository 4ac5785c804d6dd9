"""What a machine cannot do, told from what a program does wrong: memory, disks and accelerators end."""

from __future__ import annotations

import errno

MEMORY = (
    "There is not enough memory for this; close other programs, cut a smaller piece out, take fewer sources, or leave "
    "the oversampling lower."
)
DEVICE = "The GPU does not answer any more; start the program again, with DEBLEND_DEVICE=cpu to do without it."
DISK = {
    errno.ENOSPC: "the disk is full; make room, or choose another place",
    errno.EDQUOT: "the quota of this account is used up; make room, or choose another place",
    errno.EFBIG: "the file grew larger than this system lets it; choose another place",
    errno.EROFS: "the disk can only be read; choose another place",
    errno.EACCES: "that is not permitted; choose another place, or ask who owns it",
    errno.EIO: "the disk did not answer; check it, or choose another place",
}
"""What systems say in words of their own."""
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "bad_alloc", "Failed to allocate")
_DEVICE_LOST = ("CUDA_ERROR", "DEVICE_LOST", "device lost", "device is lost", "NCCL", "cudaError", "HIP_ERROR")


def machine_fault(error: BaseException) -> str | None:
    """Return a sentence where an error is the machine's and not the program's; None where it is not.

    XLA tells what has happened in its text alone: one type stands for all (`jax.errors.JaxRuntimeError`).
    """
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, OSError) and error.errno in DISK:
        where = f"{error.filename}: " if error.filename else ""
        sentence = f"{where}{DISK[error.errno]}."
        return sentence if where else sentence[0].upper() + sentence[1:]
    if not isinstance(error, RuntimeError) and type(error).__name__ != "XlaRuntimeError":
        return None
    said = str(error)
    if any(word in said for word in _OUT_OF_MEMORY):
        return MEMORY
    return DEVICE if any(word in said for word in _DEVICE_LOST) else None
