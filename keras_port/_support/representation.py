"""How objects and packages show themselves in a notebook."""

from types import ModuleType


def format_call(value: object, *names: str) -> str:
    """Returns an object as the call that makes it.

    Args:
        value: The object.
        names: Its attributes that are arguments of the call.
    """
    arguments = ", ".join(f"{name}={getattr(value, name)!r}" for name in names)
    return f"{type(value).__name__}({arguments})"


def complete_public_names(*modules: ModuleType) -> None:
    """Lets completion offer the public names of modules, and no others.

    A package also has its modules as attributes, and a module what it imports.

    Args:
        modules: Modules that have `__all__`.
    """
    for module in modules:
        names: list[str] = module.__all__

        def list_names(names: list[str] = names) -> list[str]:
            return [*names, "__doc__", "__file__", "__name__"]

        module.__dir__ = list_names  # type: ignore[method-assign]
