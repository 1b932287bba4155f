"""What serves the notebooks alone: exercises for all of them, and what one of them shows.

Importable once `deeplab_nb.runs.run` is, wherever the notebook lies.
"""
