"""Traces the operations that read variables and assign to them."""

from collections.abc import Callable

import tensorflow as tf

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.values import VariableRef

# From the value and the other inputs of the operation to the new value.
Update = Callable[..., tf.Tensor]
MASKS = (
    "begin_mask",
    "end_mask",
    "ellipsis_mask",
    "new_axis_mask",
    "shrink_axis_mask",
)


def run_variable(job: Job) -> None:
    """Sets the output to the variable itself, which is not a tensor."""
    is_reference = job.node.op != "VarHandleOp"
    job.set_output(VariableRef(variable_name(job.node), is_reference))


def run_forward(job: Job) -> None:
    """Copies inputs of any kind to the outputs."""
    for number, value in enumerate(job.get_values()):
        job.set_output(value, number)


def run_read(job: Job) -> None:
    """Reads the value of a variable."""
    job.set_output(tf.identity(job.get_tensors()[0]))


def run_is_initialized(job: Job) -> None:
    """Returns true, since every variable has a value."""
    job.set_output(tf.constant(True))


def run_shape(job: Job) -> None:
    """Returns the shape of a variable."""
    kind = job.node.proto.attr["out_type"].type or tf.int32
    job.set_output(tf.shape(job.get_tensors()[0], tf.as_dtype(kind)))


def run_gather(job: Job) -> None:
    """Reads rows of a variable."""
    value, indices = job.get_tensors()
    batch = int(job.node.proto.attr["batch_dims"].i)
    job.set_output(tf.gather(value, indices, axis=batch, batch_dims=batch))


def run_gather_nd(job: Job) -> None:
    """Reads elements of a variable."""
    job.set_output(tf.gather_nd(*job.get_tensors()))


def make_writer(update: Update) -> Handler:
    """Returns a handler that assigns the result of an update."""

    def run(job: Job) -> None:
        reference = job.get_values()[0]
        if not isinstance(reference, VariableRef):
            raise ValueError(
                f"The graph is broken: the operation {job.node.name!r} of type "
                f"{job.node.op} must assign to a variable{job.scope.where()}. "
                f"Received: {job.node.inputs[0]!r}."
            )
        job.tracer.state.assign(reference.name, update(*job.get_tensors()))
        # An operation that reads this reference reads after the assignment.
        job.set_output(reference)

    return run


def run_assign_slice(job: Job) -> None:
    """Assigns to a slice of a variable."""
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

    make_writer(update)(job)


def update_rows(update: Update) -> Update:
    """Returns an update of rows, from an update of elements."""

    def run(
        value: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        # A scalar stands for all elements of the rows.
        shape = tf.concat([tf.shape(indices), tf.shape(value)[1:]], 0)
        updates = tf.broadcast_to(updates, shape)
        return update(value, indices[..., tf.newaxis], updates)

    return run


def multiply_updates(
    value: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor
) -> tf.Tensor:
    """Returns the product of the updates of every row, 1 without updates."""
    shape = tf.concat([[-1], tf.shape(value)[1:]], 0)
    return tf.math.unsorted_segment_prod(
        tf.reshape(updates, shape),
        tf.reshape(indices, [-1]),
        tf.shape(value)[0],
    )


def multiply_rows(value: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
    """Multiplies rows; a row that is listed twice by both updates."""
    return value * multiply_updates(value, *others)


def divide_rows(value: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
    """Divides rows; a row that is listed twice by both updates."""
    return tf.cast(value / multiply_updates(value, *others), value.dtype)


def replace(value: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Returns the new value."""
    del value
    return new


ASSIGNMENTS: dict[str, Update] = {
    "Assign": replace,
    "AssignAdd": tf.add,
    "AssignSub": tf.subtract,
}
ELEMENT_UPDATES: dict[str, Update] = {
    "Update": tf.tensor_scatter_nd_update,
    "Add": tf.tensor_scatter_nd_add,
    "Sub": tf.tensor_scatter_nd_sub,
    "Min": tf.tensor_scatter_nd_min,
    "Max": tf.tensor_scatter_nd_max,
}
ROW_UPDATES: dict[str, Update] = {
    **ELEMENT_UPDATES,
    "Mul": multiply_rows,
    "Div": divide_rows,
}
# One for every name in `operations.WRITERS`.
WRITERS: dict[str, Handler] = {
    **{op: make_writer(update) for op, update in ASSIGNMENTS.items()},
    **{
        f"{op}VariableOp": make_writer(update)
        for op, update in ASSIGNMENTS.items()
    },
    **{
        f"{kind}Scatter{name}": make_writer(update_rows(update))
        for kind in ("", "Resource")
        for name, update in ROW_UPDATES.items()
    },
    **{
        f"{kind}ScatterNd{name}": make_writer(update)
        for kind in ("", "Resource")
        for name, update in ELEMENT_UPDATES.items()
    },
    "StridedSliceAssign": run_assign_slice,
    "ResourceStridedSliceAssign": run_assign_slice,
}
HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(operations.VARIABLES, run_variable),
    "ReadVariableOp": run_read,
    "Identity": run_forward,
    "RefIdentity": run_forward,
    "IsVariableInitialized": run_is_initialized,
    "VarIsInitializedOp": run_is_initialized,
    "VariableShape": run_shape,
    "ResourceGather": run_gather,
    "ResourceGatherNd": run_gather_nd,
    **WRITERS,
}
