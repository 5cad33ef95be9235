"""How many pictures a batch has, and how many batches an epoch has. No torch: the form asks as well."""


def effective_batch_size(batch_size: int, pictures: int) -> int:
    """A batch larger than the training part is the whole part."""
    return min(batch_size, max(1, pictures))


def count_batches(pictures: int, batch_size: int, world_size: int = 1) -> int:
    """Batches of an epoch. A rest of fewer than two pictures a rank is left out: batch norm needs two."""
    whole, rest = divmod(pictures, batch_size)
    return whole + (rest >= 2 * world_size)
