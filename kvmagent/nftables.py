"""nft's commands in this process, by libnftables(3): starting the program `nft` costs 7 ms each time.

The library comes with the package nftables.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from functools import cache
from typing import Any

LIBRARY = "libnftables.so.1"
_NFT_CTX_DEFAULT = 0
_NFT_CTX_OUTPUT_JSON = 1 << 4
_NFT_CTX_OUTPUT_TERSE = 1 << 11  # no elements of sets: those that packets put in may be many


class NftError(Exception):
    """nft refused; the message is the first line of what it said."""


class NoNftables(Exception):
    """The library is not installed."""


def run(commands: str) -> str:
    """What `nft -f -` prints for these commands; several of them are one transaction. Raises NftError, NoNftables."""
    return _run(commands, _NFT_CTX_OUTPUT_TERSE)


def run_json(command: str) -> list[dict[str, Any]]:
    """What `nft -j` lists for one command, each object as libnftables-json(5) has it. Raises NftError, NoNftables."""
    listed: list[dict[str, Any]] = json.loads(_run(command, _NFT_CTX_OUTPUT_JSON | _NFT_CTX_OUTPUT_TERSE))["nftables"]
    return listed


def _run(commands: str, flags: int) -> str:
    with _lock:
        library, context = _library(), _context()
        library.nft_ctx_output_set_flags(context, flags)
        failed = library.nft_run_cmd_from_buffer(context, commands.encode()) != 0
        # Both are read each time: that empties them for the next.
        said, complained = library.nft_ctx_get_output_buffer(context), library.nft_ctx_get_error_buffer(context)
    if failed:
        raise NftError(_text(complained).strip().partition("\n")[0])
    return _text(said)


def _text(buffer: bytes | None) -> str:
    return (buffer or b"").decode(errors="replace")


_lock = threading.Lock()  # a context is for one thread at a time
_contexts: dict[int, int] = {}  # inode of a network namespace -> its context; only the last one is kept


def _context() -> int:
    """The context of this thread's network namespace.

    It is kept: closing its socket after a transaction waits until the kernel has freed the old rules, 7 ms and more.
    It asks the kernel at each command whether what it knows of the tables still holds.
    """
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    if namespace not in _contexts:
        library = _library()
        while _contexts:
            library.nft_ctx_free(_contexts.popitem()[1])
        context: int | None = library.nft_ctx_new(_NFT_CTX_DEFAULT)
        if not context:
            raise NftError("libnftables has no memory left")
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        _contexts[namespace] = context
    return _contexts[namespace]


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NoNftables(str(error)) from error
    context, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("nft_ctx_new", context, [ctypes.c_uint32]),
        ("nft_ctx_free", None, [context]),
        ("nft_ctx_buffer_output", ctypes.c_int, [context]),
        ("nft_ctx_buffer_error", ctypes.c_int, [context]),
        ("nft_ctx_output_set_flags", None, [context, ctypes.c_uint]),
        ("nft_run_cmd_from_buffer", ctypes.c_int, [context, text]),
        ("nft_ctx_get_output_buffer", text, [context]),
        ("nft_ctx_get_error_buffer", text, [context]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
