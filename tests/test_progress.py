import pytest

from deeplab_nb import progress


@pytest.mark.parametrize("executed, stream", [("1", 0), ("", 1)])
def test_headless_progress_is_plain_lines(executed, stream, capsys, monkeypatch):
    monkeypatch.setenv(progress.HEADLESS, executed)
    assert list(progress.progress([1, 2, 3], label="reading")) == [1, 2, 3]
    said = capsys.readouterr()[stream]
    assert "reading: 100%" in said and "\r" not in said
    assert len(said.splitlines()) <= 3
