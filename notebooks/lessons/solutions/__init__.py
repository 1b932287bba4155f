"""The exercises' answers, a file a notebook: `EXERCISES` names each. Try first, then look."""
