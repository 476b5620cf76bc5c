"""Files and folders replaced in one step: whoever looks, a crash and a kill included, finds the old one or the new one, whole.

The new one is made in a hidden folder beside the old one, brought to the disk (fsync), and renamed into place. A file takes another's
name in one step; two folders exchange their names in one step where the system can (Linux, macOS). On a file system that cannot (NFS),
the old folder is put aside for the moment between two renames; a run that is killed in this moment leaves nothing at the name, and the
next one that writes there puts the old folder back.

The hidden folder is locked while its maker lives. One that nobody holds is left of a killed run, and the next one that writes to the
same place removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HIDDEN = re.compile(r"\.pyro_mnar-[0-9a-f]{16}")
_EXCHANGE = 2  # Linux's RENAME_EXCHANGE and macOS's RENAME_SWAP


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Give a path at which a file or folder is to be made, and on leaving put that at ``path``; after an error all is as it was.

    What is replaced hands on its permissions. A link stays, and what it points to is replaced. Nothing is asked of what is replaced:
    that is for who calls to check.

    Raises:
        ValueError: naming ``path``, where something cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     with replacement(Path(home, "a.txt")) as new:
        ...         written = new.write_text("whole")
        ...     Path(home, "a.txt").read_text(), os.listdir(home)
        ('whole', ['a.txt'])
    """
    place = Path(os.path.realpath(path))
    new = place
    try:
        remove_leftovers(place.parent)
        hidden, lock = _hidden(place.parent)
        try:
            new = hidden / f"new{place.suffix}"
            yield new
            if place.exists():
                _like(place, new)
            _to_disk(new)
            _put(new, place, hidden)
            _sync(place.parent)
        finally:
            _remove(hidden)
            os.close(lock)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None
    except ValueError as error:  # of a writer, which knows the other name
        raise ValueError(str(error).replace(str(new), str(path))) from None


def remove_leftovers(folder: Path) -> None:
    """Remove the hidden folders of killed runs from ``folder``, after putting back what these had put aside."""
    for hidden in [folder / name for name in os.listdir(folder) if _HIDDEN.fullmatch(name)]:
        with suppress(OSError):  # held by a run that lives, gone already, or another user's
            lock = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(hidden)
            finally:
                os.close(lock)


def _hidden(folder: Path) -> tuple[Path, int]:
    """Return a new hidden folder, for its maker's eyes alone, and what holds its lock."""
    while True:
        hidden = folder / f".pyro_mnar-{secrets.token_hex(8)}"
        hidden.mkdir(mode=0o700)
        try:
            lock = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another run, or another worker of this one, took it for a leftover
            continue
        with suppress(OSError):  # or did so before it was locked
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(hidden), os.fstat(lock)):
                return hidden, lock
        os.close(lock)


def _put(new: Path, path: Path, hidden: Path) -> None:
    if not path.is_dir():
        os.replace(new, path)
    elif not _exchanged(new, path):
        aside = hidden / "aside" / path.name
        aside.parent.mkdir()
        os.rename(path, aside)
        os.rename(new, path)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step, and return whether the system could."""
    system, names = ctypes.CDLL(None, use_errno=True), (os.fsencode(one), os.fsencode(other))
    if hasattr(system, "renameat2"):
        at = -100  # AT_FDCWD: names are relative to the working folder
        return system.renameat2(at, names[0], at, names[1], _EXCHANGE) == 0
    return hasattr(system, "renamex_np") and system.renamex_np(*names, _EXCHANGE) == 0


def _like(old: Path, new: Path) -> None:
    """Give ``new``, and the files in it, the permissions of what they replace."""
    for part in [new, *(new.iterdir() if new.is_dir() else ())]:
        own = old / part.relative_to(new)
        if own.exists():
            part.chmod(stat.S_IMODE(own.stat().st_mode))


def _to_disk(new: Path) -> None:
    for part in [*(new.iterdir() if new.is_dir() else ()), new]:
        _sync(part)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove(hidden: Path) -> None:
    """Remove a hidden folder, and first put back what was put aside in it and not yet replaced."""
    for old in hidden.glob("aside/*"):
        if not (hidden.parent / old.name).exists():
            os.rename(old, hidden.parent / old.name)
    for part in hidden.rglob("*"):
        if part.is_dir() and not part.is_symlink():
            part.chmod(0o700)  # of a folder that may not be written to, nothing could be removed
    shutil.rmtree(hidden, ignore_errors=True)
