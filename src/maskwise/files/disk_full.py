"""A full disk, told apart from other failures, with a clear error."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskwise.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# safetensors and torch.save raise errors of their own, and what they say is all there is to go by.
_SAYS_FULL = re.compile(
    rf"os error ({'|'.join(map(str, sorted(_FULL)))})\b|unexpected pos \d+ vs|PytorchStreamWriter failed writing"
)


def is_disk_full(error: BaseException) -> bool:
    """Returns True where an error means that a file could not grow: no space, no quota, or a limit on its size.

    >>> is_disk_full(OSError(errno.ENOSPC, "No space left on device")), is_disk_full(FileNotFoundError())
    (True, False)
    """
    if isinstance(error, OSError):
        return error.errno in _FULL
    return not isinstance(error, InputError) and bool(_SAYS_FULL.search(str(error)))


@contextmanager
def disk_full_as_input_error(path: Path) -> Iterator[None]:
    """Turns a full disk into an InputError that names the folder."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise InputError(
            f"The disk is full: {path.parent} has no room for {path.name}. What was finished is kept; free some space "
            "and run the same command again."
        ) from error
