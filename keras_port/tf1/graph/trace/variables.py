"""Traces what reads variables and what assigns to them."""

from collections.abc import Callable

import tensorflow as tf

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.values import VariableRef

# From the value and the operation's other inputs to the new value.
Update = Callable[..., tf.Tensor]
MASKS = (
    "begin_mask",
    "end_mask",
    "ellipsis_mask",
    "new_axis_mask",
    "shrink_axis_mask",
)


def run_variable(job: Job) -> None:
    """Gives the variable itself, which is no tensor."""
    node = job.node
    job.give(VariableRef(variable_name(node), node.op != "VarHandleOp"))


def run_passing(job: Job) -> None:
    """Passes on what is no tensor, and tensors as they are."""
    for number, value in enumerate(job.values()):
        job.give(value, number)


def run_read(job: Job) -> None:
    """Reads a variable's value."""
    job.give(tf.identity(job.tensors()[0]))


def run_initialized(job: Job) -> None:
    """Says that the variable has a value, as all here have."""
    job.give(tf.constant(True))


def run_shape(job: Job) -> None:
    """Gives the shape of a variable's value."""
    kind = job.node.proto.attr["out_type"].type or tf.int32
    job.give(tf.shape(job.tensors()[0], tf.as_dtype(kind)))


def run_gather(job: Job) -> None:
    """Looks rows of a variable up."""
    value, indices = job.tensors()
    batch = int(job.node.proto.attr["batch_dims"].i)
    job.give(tf.gather(value, indices, axis=batch, batch_dims=batch))


def run_gather_nd(job: Job) -> None:
    """Looks elements of a variable up."""
    job.give(tf.gather_nd(*job.tensors()))


def assigning(update: Update) -> Handler:
    """Returns what traces an operation that changes a variable."""

    def run(job: Job) -> None:
        reference = job.values()[0]
        if not isinstance(reference, VariableRef):
            raise ValueError(
                f"The operation {job.node.name!r} of type {job.node.op} "
                f"assigns to what is no variable{job.scope.where()}."
            )
        job.emitter.state.assign(reference.name, update(*job.tensors()))
        # Of the early kind: whoever reads this reads after the assignment.
        job.give(reference)

    return run


def assign_slice(job: Job) -> None:
    """Changes a slice of a variable."""
    masks = {name: int(job.node.proto.attr[name].i) for name in MASKS}

    def update(
        value: tf.Tensor,
        begin: tf.Tensor,
        end: tf.Tensor,
        strides: tf.Tensor,
        new: tf.Tensor,
    ) -> tf.Tensor:
        return tf.raw_ops.TensorStridedSliceUpdate(
            input=value,
            begin=begin,
            end=end,
            strides=strides,
            value=new,
            **masks,
        )

    assigning(update)(job)


def rows(update: Update) -> Update:
    """Returns the update of rows by their numbers."""

    def run(
        value: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        # One number may stand for all elements of the rows.
        shape = tf.concat([tf.shape(indices), tf.shape(value)[1:]], 0)
        updates = tf.broadcast_to(updates, shape)
        return update(value, indices[..., tf.newaxis], updates)

    return run


def factors(
    value: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor
) -> tf.Tensor:
    """Returns the product of all updates of each row, 1 for no update."""
    shape = tf.concat([[-1], tf.shape(value)[1:]], 0)
    return tf.math.unsorted_segment_prod(
        tf.reshape(updates, shape),
        tf.reshape(indices, [-1]),
        tf.shape(value)[0],
    )


def multiplied(value: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
    """Multiplies rows, one that is named twice by both."""
    return value * factors(value, *others)


def divided(value: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
    """Divides rows, one that is named twice by both."""
    return tf.cast(value / factors(value, *others), value.dtype)


def replaced_by(value: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Returns the new value."""
    del value
    return new


BY_POSITION: dict[str, Update] = {
    "Update": tf.tensor_scatter_nd_update,
    "Add": tf.tensor_scatter_nd_add,
    "Sub": tf.tensor_scatter_nd_sub,
    "Min": tf.tensor_scatter_nd_min,
    "Max": tf.tensor_scatter_nd_max,
}
BY_ROW = {**BY_POSITION, "Mul": multiplied, "Div": divided}
WHOLE: dict[str, Update] = {
    "Assign": replaced_by,
    "AssignAdd": tf.add,
    "AssignSub": tf.subtract,
}
WRITERS: dict[str, Handler] = {
    **{op: assigning(update) for op, update in WHOLE.items()},
    **{f"{op}VariableOp": assigning(update) for op, update in WHOLE.items()},
    **{
        f"{kind}Scatter{name}": assigning(rows(update))
        for kind in ("", "Resource")
        for name, update in BY_ROW.items()
    },
    **{
        f"{kind}ScatterNd{name}": assigning(update)
        for kind in ("", "Resource")
        for name, update in BY_POSITION.items()
    },
    "StridedSliceAssign": assign_slice,
    "ResourceStridedSliceAssign": assign_slice,
}
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(VARIABLE_OPS, run_variable),
    "ReadVariableOp": run_read,
    "Identity": run_passing,
    "RefIdentity": run_passing,
    "IsVariableInitialized": run_initialized,
    "VarIsInitializedOp": run_initialized,
    "VariableShape": run_shape,
    "ResourceGather": run_gather,
    "ResourceGatherNd": run_gather_nd,
    **WRITERS,
}
