"""Finds what a user has named: inputs, outputs, and what trains."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import fnmatch
from typing import NamedTuple

from keras_port._support import show_name
from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import Signature
from keras_port.tf1.graph.read import find_sparse_parts
from keras_port.tf1.graph.read import find_tensor
from keras_port.tf1.graph.read import has_variables
from keras_port.tf1.graph.read import list_weights
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import suggest_names
from keras_port.tf1.graph.read import variable_name

DEFAULT_SIGNATURE = "serving_default"


class InputKey(NamedTuple):
    """A tensor that a layer is called with.

    Args:
        key: Key of the tensor.
        sparse: Name of the sparse tensor that it is a part of, or `""`.
    """

    key: str
    sparse: str = ""


def find_inputs(
    names: str | Sequence[str] | None, source: GraphFile, signature: str | None
) -> list[InputKey]:
    """Returns the tensors that a layer is called with.

    Args:
        names: What the user has named: tensors, or inputs of a signature.
            `None` stands for all inputs of the signature.
        source: The graph.
        signature: Name of the signature, `None` for the one there is.
    """
    named = find_signature(source, signature, "inputs", names).inputs
    listed = list(named) if names is None else as_list(names, "inputs")
    found: list[InputKey] = []
    for name in listed:
        parts = find_sparse_parts(name, source.scope)
        if is_in_signature(name, named, source.scope):
            keys = named[name]
            found += [InputKey(o, name if len(keys) > 1 else "") for o in keys]
        elif parts:
            found += [InputKey(key, name) for key in parts]
        else:
            found.append(InputKey(find_tensor(name, source.scope, "inputs")))
    check_unique([one.key for one in found], "inputs")
    return found


def find_outputs(
    names: str | Sequence[str] | None, source: GraphFile, signature: str | None
) -> list[str]:
    """Returns the keys of the tensors that a layer returns.

    The arguments are those of `find_inputs`.
    """
    named = find_signature(source, signature, "outputs", names).outputs
    if names is None:
        # Two names may stand for one tensor.
        keys = [key for several in named.values() for key in several]
        return list(dict.fromkeys(keys))
    keys = []
    for name in as_list(names, "outputs"):
        if is_in_signature(name, named, source.scope):
            keys += named[name]
        else:
            keys.append(find_tensor(name, source.scope, "outputs"))
    check_unique(keys, "outputs")
    return keys


def find_signature(
    source: GraphFile,
    signature: str | None,
    argument: str,
    names: str | Sequence[str] | None,
) -> Signature:
    """Returns the signature whose names count, an empty one without any.

    Raises:
        ValueError: If there is none, and it is named or `names` is `None`.
    """
    if names is None or signature is not None:
        return choose_signature(source, signature, argument)
    found = list(source.signatures.values())
    default = source.signatures.get(DEFAULT_SIGNATURE)
    if default is None and len(found) == 1:
        default = found[0]
    return default or Signature({}, {})


def is_in_signature(
    name: str, named: Mapping[str, tuple[str, ...]], scope: Scope
) -> bool:
    """Returns whether a name is one of a signature, and of no tensor."""
    return name in named and name.partition(":")[0] not in scope.nodes


def as_list(names: str | Sequence[str], argument: str) -> list[str]:
    """Returns names as a list, which must not be empty."""
    listed = [names] if isinstance(names, str) else list(names)
    if not listed:
        raise ValueError(
            f"`{argument}` must name at least one tensor. Received: "
            f"{argument}={listed}."
        )
    return listed


def check_unique(keys: Sequence[str], argument: str) -> None:
    """Raises an error if a tensor is named twice."""
    if len(set(keys)) < len(keys):
        raise ValueError(
            f"`{argument}` must name every tensor once. Received: "
            f"{argument}={list(keys)}."
        )


def choose_signature(
    source: GraphFile, name: str | None, argument: str
) -> Signature:
    """Returns the signature with a name, or the default one.

    Args:
        source: The graph.
        name: Its name; `None` for `"serving_default"`, or the only one.
        argument: What the user left out, for the message.
    """
    found = source.signatures
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    wanted = DEFAULT_SIGNATURE if name is None else name
    if wanted in found:
        return found[wanted]
    if not found:
        raise ValueError(
            f"`{argument}` must name tensors, such as 'x' or 'x:0', because "
            f"this {source.kind} has no signature. `list_graph` shows likely "
            "names."
        )
    shown = ", ".join(map(show_name, found))
    raise ValueError(
        f"The file has no signature {wanted!r}. Give `signature`, or `inputs` "
        f"and `outputs`. Signatures: {shown}."
    )


def choose_trained(
    source: GraphFile, trainable: bool | str | Sequence[str]
) -> frozenset[str]:
    """Returns the names of what trains.

    These are variables, or constants of a graph that has no variables.

    Args:
        source: The graph.
        trainable: `True` for what TensorFlow 1 trained, `False` for nothing,
            or patterns of names, such as `"conv*"`.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    if isinstance(trainable, bool):
        return source.collections.trainable if trainable else frozenset()
    names = (
        list_variables(source)
        if has_variables(source)
        else list_weights(source)
    )
    found: set[str] = set()
    for pattern in as_list(trainable, "trainable"):
        matching = match_names(pattern, names)
        if not matching:
            raise ValueError(
                f"`trainable`: no variable has a name like {pattern!r}. "
                f"{suggest_names(pattern.strip('*'), names)}"
            )
        found |= matching
    return frozenset(found)


def match_names(pattern: str, names: Iterable[str]) -> set[str]:
    """Returns the names that match a pattern, as in a shell."""
    return {name for name in names if fnmatch.fnmatchcase(name, pattern)}


def list_variables(source: GraphFile) -> list[str]:
    """Returns the names of the variables of a graph, every variable once."""
    found: dict[str, str] = {}
    for node in source.scope.nodes.values():
        if node.op in operations.VARIABLES:
            found.setdefault(variable_name(node), node.name)
    return list(found.values())
