"""Traces TensorArrays of TensorFlow 1 as those of TensorFlow 2.

TensorFlow 1's have no gradient in a loop of TensorFlow 2. There the elements
travel in a number called the flow; here the flow is the list of elements.
"""

import tensorflow as tf

from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.values import ArrayRef


def run_make(job: Job) -> None:
    """Makes an array."""
    attributes = job.node.proto.attr
    known = attributes["element_shape"].HasField("shape")
    shape = attributes["element_shape"].shape if known else None
    array = ArrayRef(
        tf.as_dtype(attributes["dtype"].type),
        tf.TensorShape(shape),
        attributes["dynamic_size"].b,
    )
    made = tf.TensorArray(
        array.dtype,
        job.get_tensors()[0],
        dynamic_size=array.is_dynamic,
        element_shape=array.shape,
        infer_shape=False,
    )
    job.set_output(array, 0)
    job.set_output(made.flow, 1)


def open_array(job: Job) -> tuple[tf.TensorArray, list[tf.Tensor]]:
    """Returns the array that an operation works on, and the other inputs."""
    array = job.get_values()[0]
    if not isinstance(array, ArrayRef):
        raise ValueError(
            f"The graph is broken: the operation {job.node.name!r} of type "
            f"{job.node.op} must work on a TensorArray of this graph"
            f"{job.scope.where()}. Received: {job.node.inputs[0]!r}."
        )
    *inputs, flow = (job.get_tensor(key) for key in job.node.inputs[1:])
    # The list in the flow knows the shape of its elements.
    made = tf.TensorArray(
        array.dtype,
        flow=flow,
        dynamic_size=array.is_dynamic,
        infer_shape=False,
    )
    return made, inputs


def run_write(job: Job) -> None:
    """Writes one element."""
    array, inputs = open_array(job)
    job.set_output(array.write(*inputs).flow)


def run_scatter(job: Job) -> None:
    """Writes several elements."""
    array, inputs = open_array(job)
    job.set_output(array.scatter(*inputs).flow)


def run_split(job: Job) -> None:
    """Writes the pieces of a tensor."""
    array, inputs = open_array(job)
    job.set_output(array.split(*inputs).flow)


def run_read(job: Job) -> None:
    """Reads one element."""
    array, inputs = open_array(job)
    job.set_output(array.read(*inputs))


def run_gather(job: Job) -> None:
    """Reads several elements."""
    array, inputs = open_array(job)
    job.set_output(array.gather(*inputs))


def run_size(job: Job) -> None:
    """Counts the elements."""
    array, _ = open_array(job)
    job.set_output(array.size())


def run_concat(job: Job) -> None:
    """Joins all elements, and returns the length of every one too."""
    array, _ = open_array(job)
    joined, lengths = tf.raw_ops.TensorListConcatV2(
        input_handle=array.flow,
        element_dtype=array.dtype,
        element_shape=tf.constant(-1),
        leading_dims=tf.zeros([0], tf.int64),
    )
    job.set_output(joined, 0)
    job.set_output(lengths, 1)


def run_close(job: Job) -> None:
    """Does nothing: TensorFlow frees a list that nothing uses."""
    del job


HANDLERS: dict[str, Handler] = {
    "TensorArrayV3": run_make,
    "TensorArrayWriteV3": run_write,
    "TensorArrayScatterV3": run_scatter,
    "TensorArraySplitV3": run_split,
    "TensorArrayReadV3": run_read,
    "TensorArrayGatherV3": run_gather,
    "TensorArraySizeV3": run_size,
    "TensorArrayConcatV3": run_concat,
    "TensorArrayCloseV3": run_close,
}
