"""Answers to notebook 04."""

from lessons.exercises import Exercise


def images(settings):
    """Steps times the images of a step on all cards."""
    return settings.train_steps * settings.train_batch_size * settings.cards


def all_gather(cards):
    """The second half of the ring: what is summed goes round once more and is kept."""
    n = len(cards)
    for step in range(n - 1):
        sent = [cards[i][(i + 1 - step) % n] for i in range(n)]
        for i in range(n):
            cards[(i + 1) % n][(i + 1 - step) % n] = sent[i]
    return cards


def images_a_second(cards, batch, compute, exchange, input_rate):
    """What the cards train, or what the input prepares if that is less."""
    return min(cards * batch / (compute + exchange), input_rate)


EXERCISES = {
    "images": Exercise(images, "A step takes train_batch_size images on each of the cards."),
    "all_gather": Exercise(
        all_gather,
        "Card i begins with the sum of part i + 1. It sends that on; the next card keeps it, where "
        "the first half added, and then sends on what it has just got.",
        cases=[
            ([[1, 5], [4, 2]],),
            ([[0, 6, 1], [2, 1, 9], [12, 4, 0]],),
            ([[7, 36, 3, 0], [1, 2, 40, 4], [5, 5, 5, 44], [28, 1, 0, 2]],),
        ],
    ),
    "images_a_second": Exercise(
        images_a_second,
        "A step takes compute + exchange seconds and cards * batch images; nothing trains faster "
        "than its images come.",
        cases=[(1, 16, 1.1, 0.0, 83.0), (8, 16, 1.1, 0.024, 83.0), (32, 16, 1.1, 0.03, 900.0)],
    ),
}
