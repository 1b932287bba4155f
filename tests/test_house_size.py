"""The module stays small on purpose, since notebooks explain what a reader can also read.

A new capability may raise a limit by what it needs, with a line in CHANGELOG.md that says why.
Tokens are counted and not lines, for a longer line is no smaller program; layout and comments
cost nothing, so that nobody saves on them.
"""

import io
import os
import tokenize

import pytest

TOKENS = 95_000
FILES = 101
LINES_OF_A_FILE = 300
COLUMNS = 100

FREE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@pytest.fixture(scope="module")
def texts(repo):
    """{path within the module: its text} of every Python file."""
    root, found = os.path.join(repo, "deeplab_nb"), {}
    for folder, _, names in os.walk(root):
        for path in (os.path.join(folder, name) for name in names if name.endswith(".py")):
            with open(path, encoding="utf-8") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def tokens_of(text):
    """An f-string is one token, whose parts a newer Python's tokenizer tells apart."""
    found, within = 0, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        within -= kind == "FSTRING_END"
        found += not within and kind != "FSTRING_END" and token.type not in FREE
        within += kind == "FSTRING_START"
    return found


def over(limit, sizes):
    return {what: size for what, size in sizes.items() if size > limit}


def test_layout_and_comments_are_not_counted():
    assert tokens_of("if a:  # why\n\n    b = (c +\n         'd e')\n") == 10


def test_a_string_counts_once_on_every_python():
    assert tokens_of("f'{a} of {f\"{b}\":>{c}}' 'd'\n") == 2


def test_the_module_has_few_tokens(texts):
    assert sum(map(tokens_of, texts.values())) <= TOKENS


def test_the_module_has_few_files(texts):
    assert 20 < len(texts) <= FILES


def test_no_file_is_long(texts):
    sizes = {path: len(text.splitlines()) for path, text in texts.items()}
    assert over(LINES_OF_A_FILE, sizes) == {}


def test_no_line_is_long(texts):
    lines = {path: max(map(len, text.splitlines() or [""])) for path, text in texts.items()}
    assert over(COLUMNS, lines) == {}
