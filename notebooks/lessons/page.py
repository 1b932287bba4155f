"""What a notebook prints, as a page shows it."""

import textwrap


def folded(line, width=100):
    """A long line on several, so that a page shows all of it."""
    return textwrap.fill(
        line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
