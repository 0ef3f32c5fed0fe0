"""The one error of the embedded stack: what is wrong and what to do about it, in a single line."""

import errno


class StackError(Exception):
    """The embedded stack cannot start or go on."""


def from_os_error(error: OSError, doing: str) -> StackError:
    """Turn an operating-system error into a line that says what to do.

    Args:
        error: What the operating system said.
        doing: The act that failed, as a noun phrase ("start of valkey").

    Returns:
        The error to raise in its place.
    """
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StackError(f"{doing}: the disk is full{where}; free some space and start again")
    if error.errno == errno.ENOENT:
        return StackError(f"{doing}: file not found{where}; run `make setup`")
    if error.errno == errno.EACCES:
        return StackError(
            f"{doing}: permission denied{where}; the file must be accessible, programs executable, "
            "and the file system not mounted noexec",
        )
    if error.errno == errno.EROFS:
        return StackError(f"{doing}: read-only file system{where}; choose a data folder that can be written")
    return StackError(f"{doing}: {error.strerror or error}{where}")
