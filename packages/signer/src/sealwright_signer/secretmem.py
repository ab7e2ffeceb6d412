"""Moves all writable memory of the process onto memfd_secret pages, before the first key exists (ADR 0007).

Such pages are in no core, and the kernel reads them for nobody: not for root through /proc, not for a
debugger, not for a dump forced by hand. Afterwards RLIMIT_DATA 0 keeps ordinary pages from coming up.
May never run after a key was made, nor report success while one ordinary writable page is left.
"""

import ctypes
import mmap
import os
import platform
import resource
from pathlib import Path

from sealwright_signer.kernel import checked, libc

RESERVE = 64 << 20  # bytes of heap from now on; pages that are never touched cost nothing
STACK = 8 << 20  # bytes, as much as a main thread usually may have
MEMLOCK = 112 << 20  # bytes: reserve, stack, what an interpreter has at start, and a copy of the largest part
SLACK = 4 << 20  # bytes of the reserve that may be in use when it is moved
PAGE = mmap.PAGESIZE
# copy(to, from, length), then mmap(address, size, READ|WRITE, SHARED|FIXED, fd, 0) with nothing in between,
# for stack and allocator are among what is moved. Arguments: to, from, length, address, size, fd.
_MOVE = {
    "x86_64": "4989cb 4889d1 f3a4 4c89df 4c89c6 4d89c8 ba03000000 41ba11000000 4531c9 b809000000 0f05 c3",
    "aarch64": "268440f8 068400f8 422000f1 a1ffff54 e00303aa e10304aa 620080d2 230280d2 e40305aa 050080d2 "
    "c81b80d2 010000d4 c0035fd6",
}


def _writable() -> list[tuple[int, int, str, str]]:
    """Begin, end, rights and name of every writable mapping."""
    lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    edges = [[int(edge, 16) for edge in line[0].split("-")] for line in lines]
    return [(e[0], e[1], line[1], line[-1]) for e, line in zip(edges, lines, strict=True) if "w" in line[1]]


def _settle_heap() -> int:
    """Make malloc keep to one heap that is large enough for good; the end of what is in use."""
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-8, 1)):  # no mmap, no trimming, one arena
        if libc.mallopt(option, value) != 1:
            raise OSError(0, "malloc takes no options")
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    used: int = libc.sbrk(0)
    libc.free(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(RESERVE))))
    return used


def _mover() -> tuple[mmap.mmap, int]:
    code = os.memfd_create("move")
    os.write(code, bytes.fromhex(_MOVE[platform.machine()]).ljust(PAGE, b"\0"))
    page = mmap.mmap(code, PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    os.close(code)
    (line,) = (m for m in Path("/proc/self/maps").read_text().splitlines() if "/memfd:move" in m)
    return page, int(line.split("-")[0], 16)


def _mapped(fd: int, length: int, offset: int = 0) -> int:
    """Address of a new mapping of secret pages; OSError when so many may not be locked."""
    libc.mmap.restype = ctypes.c_void_p
    nowhere, flags = ctypes.c_void_p(), mmap.PROT_READ | mmap.PROT_WRITE
    taken, where = ctypes.c_size_t(length), ctypes.c_long(offset)
    address: int = libc.mmap(nowhere, taken, flags, mmap.MAP_SHARED, fd, where)
    if address == ctypes.c_void_p(-1).value:
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] >> 20
        raise OSError(0, f"RLIMIT_MEMLOCK is {limit} MiB, about {MEMLOCK >> 20} are needed")
    return address


def _require_room() -> None:
    """Nothing may be moved unless all of it can be: a mapping that fails in place leaves a hole there."""
    fd = checked(libc.syscall(447, 0x80000))
    try:
        os.ftruncate(fd, MEMLOCK)
        libc.munmap(ctypes.c_void_p(_mapped(fd, MEMLOCK)), ctypes.c_size_t(MEMLOCK))
    finally:
        os.close(fd)


def _move(mover: int, begin: int, end: int, name: str, used: int) -> None:
    size, offset, length = end - begin, 0, end - begin
    if name == "[stack]":  # it cannot grow downwards any more: give it all the room now
        size = max(STACK, length)
        offset = size - length
    elif name == "[heap]":
        length = min(length, used + SLACK - begin)
    fd = checked(libc.syscall(447, 0x80000))  # memfd_secret, O_CLOEXEC
    try:
        os.ftruncate(fd, size)
        copy, taken = _mapped(fd, length, offset), ctypes.c_size_t(length)
        move = ctypes.PYFUNCTYPE(ctypes.c_void_p, *[ctypes.c_size_t] * 6)(mover)
        moved = move(copy, begin, length, end - size, size, fd)
        libc.munmap(ctypes.c_void_p(copy), taken)
        if moved != end - size:
            raise OSError(0, "the kernel did not take the pages")
    finally:
        os.close(fd)


def writable_flags() -> list[set[str]]:
    """VmFlags (proc_pid_smaps(5)) of every writable mapping."""
    blocks = Path("/proc/self/smaps").read_text().split("\nVmFlags:")[1:]
    return [flags for block in blocks if "wr" in (flags := set(block.split("\n")[0].split()))]


def _is_secret() -> bool:
    """Every writable mapping is locked and in no dump, and the kernel reads none of them even for us."""
    if not all({"lo", "dd", "sh"} <= flags for flags in writable_flags()):
        return False
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for begin, _, _, _ in _writable():
            memory.seek(begin)
            try:
                memory.read(1)
            except OSError:
                continue
            return False
    return True


def secret_memory() -> tuple[bool, str]:
    """Move everything; OSError where it cannot be done, in which case nothing or only a part is moved."""
    if platform.machine() not in _MOVE or not hasattr(libc, "mallopt"):
        raise OSError(0, f"not built for {platform.machine()} with this C library")
    _require_room()
    used, (page, mover) = _settle_heap(), _mover()
    for _ in range(4):  # the work itself may make the interpreter map another arena
        ordinary = [m for m in _writable() if m[2] == "rw-p"]
        for begin, end, _, name in sorted(ordinary, key=lambda m: m[0] - m[1]):  # the largest first
            _move(mover, begin, end, name, used)
    page.close()
    resource.setrlimit(resource.RLIMIT_DATA, (0, 0))
    size = sum(end - begin for begin, end, _, _ in _writable()) >> 10
    return _is_secret(), f"all {size} KiB that can be written are memfd_secret pages"
