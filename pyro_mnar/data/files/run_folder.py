"""Folders of work that is gone on with: ``_run.json`` says of which run one is, so that no other run's pieces are taken for its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pyro_mnar.data.files.replacement import remove_leftovers, replacement

RUN = "_run.json"


def start_run(folder: Path, run: dict[str, object]) -> None:
    """Make an output folder, or go on with one that is of the same run; ``run`` is plain data that says which.

    Raises:
        ValueError: where it is of another run, or holds anything else, or cannot be written.
    """
    head = folder / RUN
    try:
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        there = set(os.listdir(folder))
        if RUN not in there and {name for name in there if not name.startswith(".")}:
            raise ValueError(f"{folder}: holds {min(there)!r} and is no run's, expected a new or an empty folder")
        if RUN not in there:
            with replacement(head) as new:
                new.write_text(json.dumps(run, indent=1), encoding="utf-8")
        earlier = json.loads(head.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written ({error.strerror or error})") from None
    except json.JSONDecodeError:
        raise ValueError(f"{head}: is damaged, expected the one that the run wrote") from None
    earlier = earlier if isinstance(earlier, dict) else {}
    differs = [name for name in dict.fromkeys([*run, *earlier]) if earlier.get(name) != run.get(name)]
    if differs:
        raise ValueError(f"{folder}: is another run's, of other {', '.join(differs)}; expected a new folder, or the same command")
