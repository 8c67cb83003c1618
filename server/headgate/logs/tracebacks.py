"""Tracebacks for the log: where and what, without any value.

Local variables hold prompts, answers and keys, and so do the words of some exceptions: a KeyError
quotes its key, a ValueError of a parser often what it could not read. The words of those that
speak of the program are kept.
"""

from __future__ import annotations

import traceback

from headgate.errors import HeadgateError

DEPTH = 10
# Their words name attributes, modules, operands: what the interpreter knows of the program.
_OF_THE_PROGRAM = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    IndexError,
    MemoryError,
    NameError,
    RuntimeError,
    TypeError,
)


def traceback_of(error: BaseException, depth: int = DEPTH) -> str:
    """The frames of the error and of what led to it, the last one last."""
    text = "".join(
        (
            "Traceback (most recent call last):\n",
            *traceback.format_tb(error.__traceback__),
            words_of(error),
        )
    )
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is None or depth == 0:
        return text
    return f"{traceback_of(before, depth - 1)}\n\nand then\n\n{text}"


def words_of(error: BaseException) -> str:
    """`TypeError: 'NoneType' object is not iterable`, or `ValueError` with its words withheld."""
    name = type(error).__name__
    if isinstance(error, HeadgateError):
        return f"{name} ({error.reason.value})"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror}" if error.strerror else name
    if isinstance(error, BaseExceptionGroup):
        return f"{name} of {', '.join(words_of(inner) for inner in error.exceptions)}"
    if isinstance(error, _OF_THE_PROGRAM) and str(error):
        return f"{name}: {error}"
    return f"{name} (its words are withheld)" if str(error) else name
