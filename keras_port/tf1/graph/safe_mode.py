"""Asks Keras whether code from files is trusted."""

import keras


def is_on() -> bool:
    """Tells whether Keras refuses files that hold code.

    Keras has no public name for it, so its own layer for code is asked: a
    lambda of Python, made here and known to do nothing, is let in or not.
    """
    config = keras.layers.Lambda(lambda x: x).get_config()
    try:
        keras.layers.Lambda.from_config(config)
    except ValueError:
        return True
    return False


def check(safe_mode: bool | None) -> None:
    """Raises if a graph from a file must not be made a layer.

    Args:
        safe_mode: Whether to refuse, `None` for what Keras is set to.
    """
    if is_on() if safe_mode is None else safe_mode:
        raise ValueError(
            "This model holds a `GraphLayer`, and a graph is code. If you "
            "trust who made the file, load it with "
            "`keras.saving.load_model(path, safe_mode=False)`, or call "
            "`keras.config.enable_unsafe_deserialization()` first. Operations "
            "that touch files, sockets or Python are rejected even then."
        )
