"""Notebook 08: which conditions agree with which published number, as a picture."""

from matplotlib.figure import Figure

from deeplab_nb.evaluation import ledger

# a mark's symbol, colour and words
MARKS = {
    True: ("✓", "#b0d2b0", "agrees"),
    False: ("✗", "#e8a0a0", "differs"),
    None: ("?", "#eeeede", "is not told by one side"),
}


def show_marks(compared):
    """A row a published number, a column a condition. compared: of `ledger.compare`."""
    figure = Figure(figsize=(9.6, 0.27 * len(compared) + 1.5), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for y, (_, marks) in enumerate(compared):
        for x, mark in enumerate(marks.values()):
            symbol, colour, _ = MARKS[mark.agrees]
            axes.barh(y, 0.94, left=x, height=0.9, color=colour)
            axes.text(x + 0.47, y, symbol, ha="center", va="center", fontsize=10)
    names = [name.replace("_", " ") for name in ledger.CONDITIONS]
    axes.set_xticks([x + 0.47 for x in range(len(names))])
    axes.set_xticklabels(names, rotation=45, ha="left", fontsize=10)
    axes.set_yticks(range(len(compared)))
    axes.set_yticklabels([f"{row.name}  {row.number:.2f} %" for row, _ in compared], fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_frame_on(False)
    figure.supxlabel("  ".join(f"{symbol} {words}" for symbol, _, words in MARKS.values()))
    counts = ", ".join(f"{row.name} {ledger.agreeing(marks)}" for row, marks in compared)
    figure.set_label(f"of {len(names)} conditions agree with {counts}")
    return figure
