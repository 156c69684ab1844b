"""Text that came from elsewhere, made fit for a terminal: nothing in it moves the cursor, colours, or reorders.

Applied once, where text is printed. Stored and sent text stays as it was.
Source: CVE-2021-25743 (kubectl printed terminal escapes of others), CVE-2021-42574 (bidi controls).
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # C0 but tab, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi marks, embeddings, overrides, isolates
    "\u2028\u2029"  # line and paragraph separator
    "\ud800-\udfff]"  # lone surrogates: what was not UTF-8, and cannot be written
)


def escape(text: str) -> str:
    r"""Return `text` with every control but tab as \xNN or \uNNNN: always one line.

    >>> print(escape("red \x1b[31m and\nnext"))
    red \x1b[31m and\x0anext
    """
    return _UNSAFE.sub(_code, text)


def line(text: str) -> str:
    r"""Return `text` as one line for a table or a sentence: runs of blanks become one space, the rest is escaped.

    >>> print(line("first\n\tsecond\x07"))
    first second\x07
    """
    return escape(" ".join(text.split()))


def _code(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
