"""The door to libnftables, in the process: text in, JSON out.

A child ``nft`` costs a fork and, worse, reads the elements of every interval set first (0.8 s with
100,000 of them). The library works in the network namespace of the thread that calls it.
"""

from __future__ import annotations

import ctypes
from typing import Any

import msgspec

from chita.errors import KernelError, UnsupportedError

_LIBRARY = "libnftables.so.1"
_JSON = 1 << 4
"""NFT_CTX_OUTPUT_JSON (nftables/libnftables.h)."""


class Libnft:
    """One libnftables context. Not for two threads at once."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            UnsupportedError: it is not installed.
        """
        try:
            self._lib = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise UnsupportedError(
                f"load {_LIBRARY}, which policy needs: {error}; install the package libnftables1"
            ) from error
        self._declare()
        self._context = self._lib.nft_ctx_new(0)
        self._lib.nft_ctx_buffer_output(self._context)
        self._lib.nft_ctx_buffer_error(self._context)
        self._lib.nft_ctx_output_set_flags(self._context, _JSON)

    def _declare(self) -> None:
        lib, context = self._lib, ctypes.c_void_p
        lib.nft_ctx_new.argtypes, lib.nft_ctx_new.restype = [ctypes.c_uint32], context
        lib.nft_ctx_free.argtypes = [context]
        lib.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
        lib.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
        for function in (lib.nft_ctx_buffer_output, lib.nft_ctx_buffer_error):
            function.argtypes = [context]
        for function in (lib.nft_ctx_get_output_buffer, lib.nft_ctx_get_error_buffer):
            function.argtypes, function.restype = [context], ctypes.c_char_p

    def run(self, text: str) -> str:
        """Run *text* as one transaction; return what it prints.

        Raises:
            KernelError: refused; nothing of *text* is in effect.
        """
        status = self._lib.nft_run_cmd_from_buffer(self._context, text.encode())
        output: bytes = self._lib.nft_ctx_get_output_buffer(self._context) or b""
        if status:
            answer: bytes = self._lib.nft_ctx_get_error_buffer(self._context) or b""
            lines = [line for line in answer.decode(errors="replace").splitlines() if line.strip()]
            # The message, the line it is about and the marks below: one error of perhaps many.
            raise KernelError(f"nftables transaction: {' | '.join(lines[:3]) or 'refused'}")
        return output.decode(errors="replace")

    def query(self, text: str) -> list[dict[str, Any]]:
        """Run a ``list`` command; return its objects (libnftables-json(5)), without the preamble.

        Raises:
            KernelError: refused, or the thing to list does not exist.
        """
        output = self.run(text)
        if not output:
            return []
        objects: list[dict[str, Any]] = msgspec.json.decode(output)["nftables"]
        return [item for item in objects if "metainfo" not in item]

    def close(self) -> None:
        """Free the context; it must not be used after."""
        self._lib.nft_ctx_free(self._context)
        self._context = None
