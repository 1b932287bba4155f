"""Files and folders are whole or absent, and one process at a time writes them."""

import os
import subprocess
import sys

import pytest

from deeplab_nb import files
from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.processes import alone_at, locked


def refusal(function, *args):
    with pytest.raises(WorkbookError) as caught:
        function(*args)
    return str(caught.value)


def test_what_is_being_written_is_refused_to_others_and_no_lock_stays(tmp_path):
    path = str(tmp_path / "deeper" / "notes.txt")
    with files.beside(path) as part:
        with open(part, "w") as file:
            file.write("first")
        assert refusal(files.write_text, path, "second") == (
            f"{path} is being written by process {os.getpid()}: wait for it, or give another place"
        )
        files.write_text(path + "2", "another file is no matter")
    assert open(path).read() == "first"
    assert sorted(os.listdir(os.path.dirname(path))) == ["notes.txt", "notes.txt2"]
    files.write_text(path, "third")
    assert open(path).read() == "third"


HOLD = (
    "import sys, time; from deeplab_nb.files import beside\n"
    "with beside(sys.argv[1]) as part:\n"
    "    open(part, 'w').close(); print('held', flush=True); time.sleep(60)"
)


def test_another_process_is_named_and_one_that_was_killed_is_no_matter(tmp_path):
    path = str(tmp_path / "notes.txt")
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        assert f"by process {process.pid}:" in refusal(files.write_text, path, "ours")
        assert sorted(os.listdir(str(tmp_path))) == [".notes.txt.lock", "notes.txt.part"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    files.write_text(path, "ours")
    assert os.listdir(str(tmp_path)) == ["notes.txt"]


def test_a_lock_whose_file_is_gone_is_held_by_nobody(tmp_path, monkeypatch):
    """Opened before its holder removed it, locked after: another may have made it anew."""
    path = str(tmp_path / "lock")
    opened = open
    monkeypatch.setattr("builtins.open", lambda *args, **kwargs: _gone(opened, *args, **kwargs))
    with pytest.raises(WorkbookError, match="busy, by unknown"):
        with locked(path, "busy, by {}"):
            pass


def _gone(opened, path, *args, **kwargs):
    file = opened(path, *args, **kwargs)
    os.remove(path)
    return file


def test_a_resumed_part_stays_after_an_error(tmp_path):
    path = str(tmp_path / "archive")
    with pytest.raises(ValueError), files.beside(path, resumed=True) as part:
        with open(part, "w") as file:
            file.write("half")
        raise ValueError
    with files.beside(path, resumed=True) as part, open(part, "a") as file:
        file.write(" and whole")
    assert open(path).read() == "half and whole" and os.listdir(str(tmp_path)) == ["archive"]


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    assert refusal(files.write_text, path, "text") == f"{path} is a device or a pipe: name a file"
    assert "is a device" in refusal(files.write_text, "/dev/full", "text")
    assert os.listdir(str(tmp_path)) == ["pipe"]


class Error(Exception):
    """As TensorFlow's: the file system's words in a text of its own."""

    error_code = 8


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(28, "No space left on device"), "here cannot be read or written (No space left"),
        (OSError(30, "Read-only file system", "/x/y"), "/x/y cannot be read or written (Read-only"),
        (Error("/x/a.tempstate; No space left on device"), "here cannot be read or written (No sp"),
        (OSError("encoder error -2 when writing image file"), "(encoder error -2 when writing"),
    ],
)
def test_what_the_file_system_refuses_is_one_sentence(error, words):
    with pytest.raises(WorkbookError) as caught, writing("here"):
        raise error
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith(", or give another place")


@pytest.mark.parametrize("error", [ValueError("Permission denied"), BrokenPipeError(), Error("x")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)), writing("here"):
        raise error


def test_the_folder_of_what_is_written_is_made(tmp_path):
    with alone_at(str(tmp_path / "a" / "b")):
        assert os.listdir(str(tmp_path / "a")) == [".b.lock"]
    assert os.listdir(str(tmp_path / "a")) == []


def test_what_is_there_already_is_not_written_again(tmp_path):
    """So that two who read one run may note its settings at once, and where nothing can be."""
    path = files.write_text(str(tmp_path / "notes.txt"), "one\n")
    os.utime(path, (1, 1))
    with alone_at(path):
        assert files.write_text(path, "one\n") == path
    assert os.path.getmtime(path) == 1
    assert open(files.write_text(path, "two\n")).read() == "two\n"


@pytest.mark.parametrize(
    "quoted, said",
    [
        ("a\nb", "list a\\nb"),
        ("\x1b[2J", "list \\x1b[2J"),
        ("\udcff.jpg", "list \\udcff.jpg"),
        ("图像　é", "list 图像　é"),
    ],
)
def test_a_sentence_is_one_line_whatever_it_quotes(quoted, said):
    assert str(WorkbookError(f"list {quoted}")) == said


def test_a_sentence_that_quotes_very_much_keeps_its_beginning_and_its_end():
    said = str(WorkbookError("list " + "[" * 9000 + " does not exist: correct it"))
    assert said.startswith("list [") and said.endswith("exist: correct it") and len(said) < 2000
