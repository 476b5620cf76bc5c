"""Files replaced in one step, whatever other processes do between two steps of their own."""

import os
from pathlib import Path

from pyro_mnar.data.files.replacement import remove_leftovers, replacement


def test_a_hidden_folder_that_another_process_takes_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """Two workers of a fit write to one folder, and one of them was stopped between making its hidden folder and holding it."""
    made, taken = Path.mkdir, []

    def mkdir(self, *args, **options):
        made(self, *args, **options)
        if len(taken) < 2:
            taken.append(self)
            remove_leftovers(tmp_path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with replacement(tmp_path / "a.txt") as new:
        new.write_text("whole")
    assert len(taken) == 2 and not taken[0].exists()
    assert (tmp_path / "a.txt").read_text() == "whole" and os.listdir(tmp_path) == ["a.txt"]
