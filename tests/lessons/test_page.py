"""What a notebook prints is not cut at the right edge."""

from lessons.page import folded


def test_a_long_line_is_folded_and_its_words_stay_whole():
    path = "/a/folder/" + 120 * "x"
    lines = folded(f"{path} does not exist: " + "give the folder that holds JPEGImages " * 4)
    assert lines.splitlines()[0] == path and lines.splitlines()[1].startswith("    does not")
    assert max(map(len, lines.splitlines()[1:])) <= 100
    assert folded("short") == "short"
