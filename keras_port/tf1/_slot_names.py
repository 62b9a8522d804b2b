"""Tells the slots of an optimizer by their names in TensorFlow 1."""

from collections.abc import Mapping


def find_slot_owner(
    name: str,
    shapes: Mapping[str, tuple[int | None, ...] | None],
    dtypes: Mapping[str, str],
) -> str | None:
    """Returns the variable that a slot belongs to, or `None` if not a slot.

    TensorFlow 1 names the slots of `W` `W/Adam` and `W/Adam_1`. Nothing else
    has such a name: a scope `W` next to a variable `W` would have become
    `W_1`. An optimizer inside a scope repeats it in front: `net/net/W/Adam`
    belongs to `net/W`.

    A variable that is partitioned is saved as `W`, and its slots start with
    that name: `W/part_0/Adam`. Inside a scope, TensorFlow 1 cuts what follows
    at a wrong place: `net/W/et/W/part_0/Adam` belongs to `net/W`.

    Args:
        name: Name of the variable.
        shapes: Shapes of all variables, by name.
        dtypes: Names of their dtypes, by name.
    """
    scopes = name.split("/")[:-1]
    ends = [scopes[start:] for start in range(len(scopes))]
    starts = [scopes[:end] for end in range(len(scopes) - 1, 0, -1)]
    for owner in map("/".join, [*ends, *starts]):
        if owner in shapes and (
            (shapes[owner], dtypes[owner]) == (shapes[name], dtypes[name])
        ):
            return owner
    return None
