"""Checks the budgets that keep files readable and the signer small enough to review.

Functions of at most 30 statements are ruff's business (PLR0915 in pyproject.toml). This check may never grow
an exception list: a file over budget is split by meaning.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

from repo import ROOT, Finding, report, text_of, tracked_files

FILE_LINES = 400  # physical lines of any Python file: blank lines and comments count
SIGNER_LINES = 1_500  # lines of code (ADR 0005) that can run in the process that holds keys
SIGNER_SOURCE = "packages/signer/src/"
# Run in the authority's process, or in the collector's, which has no key; tests say that the signer does not
# load them.
NOT_IN_SIGNER = {
    f"{SIGNER_SOURCE}sealwright_signer/{name}.py"
    for name in ("client", "obtain", "evidence/linux", "evidence/serve", "evidence/tpm")
}
CHANNEL_LINES = 650  # lines of code of the two processes that carry bytes to a signer elsewhere (ADR 0031)
CHANNEL_SOURCE = f"{SIGNER_SOURCE}sealwright_signer/remote/"
TOKEN_LINES = 600  # lines of code that only custody in a PKCS#11 token loads (ADR 0030)
TOKEN_SOURCE = tuple(f"{SIGNER_SOURCE}sealwright_signer/custody/{name}" for name in ("keeper/", "pkcs11.py"))
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Lines that hold code: neither blank, nor comment, nor docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def _lines(root: Path, counts: Callable[[str], bool]) -> int:
    names = [name for name in tracked_files(root) if name.startswith(SIGNER_SOURCE) and name.endswith(".py")]
    return sum(code_lines(text_of(root / name) or "") for name in names if counts(name))


def signer_lines(root: Path) -> int:
    """Lines of code that can run in the process that holds keys (ADR 0005)."""
    apart = (*TOKEN_SOURCE, CHANNEL_SOURCE)
    return _lines(root, lambda name: name not in NOT_IN_SIGNER and not name.startswith(apart))


def channel_lines(root: Path) -> int:
    """Lines of code that only carry bytes to a signer elsewhere (ADR 0031)."""
    return _lines(root, lambda name: name.startswith(CHANNEL_SOURCE))


def token_lines(root: Path) -> int:
    """Lines of code that only custody in a token loads (ADR 0030)."""
    return _lines(root, lambda name: name.startswith(TOKEN_SOURCE))


def over_budget(root: Path) -> Iterator[Finding]:
    """Every Python file, and the signer as a whole, that is longer than its budget."""
    for name in tracked_files(root):
        if not name.endswith(".py"):
            continue
        lines = len((text_of(root / name) or "").splitlines())
        if lines > FILE_LINES:
            yield Finding(name, 0, f"{lines} lines; a file has at most {FILE_LINES}: split it by meaning")
    signer = signer_lines(root)
    if signer > SIGNER_LINES:
        yield Finding(SIGNER_SOURCE, 0, f"{signer} lines of code; the signer has at most {SIGNER_LINES}")
    channel = channel_lines(root)
    if channel > CHANNEL_LINES:
        yield Finding(CHANNEL_SOURCE, 0, f"{channel} lines of code; the channel has at most {CHANNEL_LINES}")
    token = token_lines(root)
    if token > TOKEN_LINES:
        yield Finding(TOKEN_SOURCE[0], 0, f"{token} lines of code; custody in a token has {TOKEN_LINES}")


def main() -> int:
    """Check the repository; the exit status is 0 only when every budget is kept."""
    apart = f"custody in a token {token_lines(ROOT)} of {TOKEN_LINES}, the channel to signers elsewhere "
    apart += f"{channel_lines(ROOT)} of {CHANNEL_LINES}"
    sys.stdout.write(f"the signer has {signer_lines(ROOT)} of {SIGNER_LINES} lines of code, {apart}\n")
    return report("budgets", over_budget(ROOT))


if __name__ == "__main__":
    sys.exit(main())
