"""Which rank a process is, as environment variables say: ours and those of Huawei's collectives."""

import os

# what tells a rank who it is: by rank table, the first three; by chief, the others alone
TABLE = ("RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE")
CHIEF = ("CM_CHIEF_IP", "CM_CHIEF_PORT", "CM_CHIEF_DEVICE", "CM_WORKER_IP", "CM_WORKER_SIZE")
RANK = "DEEPLAB_NB_RANK"  # ours: with a chief, RANK_ID must be absent
HEARTBEAT = "DEEPLAB_NB_HEARTBEAT"  # names the file that a rank touches as it goes on, see `beat`


def environment(rank, ranks):
    """{name: text} that makes a process rank `rank` of `ranks`; one without text is to be absent.

    A rank table switches Ascend's collectives on by its presence alone, so a single rank gets none.
    """
    return {
        "JOB_ID": "deeplab_nb",
        "RANK_ID": str(rank),
        "RANK_SIZE": str(ranks),
        "RANK_TABLE_FILE": None,
    }


def size_of(variables):
    """How many ranks these environment variables speak of, as text."""
    return variables.get("RANK_SIZE") or variables.get("CM_WORKER_SIZE") or "1"


def rank_of(variables):
    """Which rank a process with these environment variables is, as text; None where none tells."""
    return variables.get("RANK_ID") or variables.get(RANK)


def leads():
    """Whether this process is rank 0, or trains alone."""
    return rank_of(os.environ) in (None, "0")


def problem(ranks, variables):
    """None if these environment variables are those of one card among `ranks`, else one sentence.

    The adapter tells none of this: it would train ranks that do not exchange gradients, or all of
    them on card 0.
    """
    said = f"{ranks} cards train together" if ranks > 1 else "one card trains"
    chief, table = ([name for name in names if variables.get(name)] for names in (CHIEF, TABLE))
    if chief and table:
        return (
            f"{', '.join(chief)} are set and {', '.join(table)} too: unset the former to start "
            "by rank table, or the latter to start by chief"
        )
    size, rank = ("CM_WORKER_SIZE", RANK) if chief else ("RANK_SIZE", "RANK_ID")
    if size_of(variables) != str(ranks):
        return (
            f"{size} is {size_of(variables)} but {said}: export {size}={ranks}, or set "
            "cards to match"
        )
    if ranks == 1:
        return None
    for name in ("JOB_ID", rank) + (CHIEF if chief else ("RANK_TABLE_FILE",)):
        if not variables.get(name):
            return f"{name} is not set but {said}: export it in every process before Python starts"
    if variables[rank] not in map(str, range(ranks)):
        return (
            f"{rank} is {variables[rank]} but {said}: it must be 0..{ranks - 1}, another in "
            "every process"
        )
    if not variables.get("ASCEND_DEVICE_ID") and not variables.get("DEVICE_ID"):
        return f"ASCEND_DEVICE_ID is not set but {said}: without it every process takes card 0"
    if not chief and not os.path.isfile(variables["RANK_TABLE_FILE"]):
        return (
            f"RANK_TABLE_FILE {variables['RANK_TABLE_FILE']} does not exist: name the rank "
            "table, the same file in every process"
        )
    return None


def beat():
    """Tells the launcher, if there is one, that this rank goes on though it writes nothing."""
    path = os.environ.get(HEARTBEAT)
    if path:
        with open(path, "a"):
            os.utime(path)


def folder():
    """The folder that the launcher gave this rank, None where there is no launcher."""
    path = os.environ.get(HEARTBEAT)
    return os.path.dirname(path) if path else None
