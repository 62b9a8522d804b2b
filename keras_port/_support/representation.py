"""How objects show themselves in a notebook."""


def format_call(value: object, *names: str) -> str:
    """Returns an object as the call that makes it.

    Args:
        value: The object.
        names: Its attributes that are arguments of the call.
    """
    arguments = ", ".join(f"{name}={getattr(value, name)!r}" for name in names)
    return f"{type(value).__name__}({arguments})"
