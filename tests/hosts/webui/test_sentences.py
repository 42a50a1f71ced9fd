"""What leaves the server says which file, and never where it lies."""

from __future__ import annotations

import pytest

from gpen_nodes import CheckpointError

pytestmark = pytest.mark.parametrize("host", ["a1111"], indirect=True)  # any: hosts don't differ here


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/models/GPEN/sub/a.pth is damaged.", "a.pth is damaged."),
        ("Found no x in /srv/a or /home/b c/d.", "Found no x in a or b c/d."),
        ("[Errno 13] Permission denied: '/srv/a/b.pth'", "[Errno 13] Permission denied: 'b.pth'"),
        (r"C:\Users\me\models\a.pth and \\server\share\b.pth", "a.pth and b.pth"),
        ("(/srv/a.pth)", "(a.pth)"),
        ("from https://example.org/a/b.pth, or C:/x/y.pth", "from https://example.org/a/b.pth, or y.pth"),
        ("into models/GPEN, to ../../models/GPEN", "into models/GPEN, to ../../models/GPEN"),
        ("16.7 px / face, and/or 3/4", "16.7 px / face, and/or 3/4"),
    ],
)
def test_names_stay_and_folders_go(host, capsys, text, told):
    assert host.door("sentences").tell(CheckpointError(text)) == told
    assert capsys.readouterr().err == f"GPEN: {text}\n"  # the console's is whole


def test_folders_with_blanks_go_where_they_are_known(host):
    host.shared.cmd_opts.gpen_models_path = "/srv/my own models"
    told = host.door("sentences").tell(ValueError("/srv/my own models/sub folder/a.pth is damaged"))
    assert told == "sub folder/a.pth is damaged"
