"""What this package leans on in TensorFlow without a promise.

Each test is a row of "What we lean on" in docs/design.md. When TensorFlow
changes, the test here fails first and says which row.
"""

from pathlib import Path
import re
import threading
import time

from google.protobuf import message_factory
import pytest
import tensorflow as tf

from tests.small_disk import fill
from tests.small_disk import mount


def test_a_new_thread_is_outside_of_a_strategy_scope() -> None:
    seen = []
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        thread = threading.Thread(
            target=lambda: seen.append(tf.distribute.has_strategy())
        )
        thread.start()
        thread.join()
        assert tf.distribute.has_strategy()
    assert seen == [False]


def test_a_function_may_be_kept_out_of_the_graph_of_its_caller() -> None:
    @tf.function(experimental_attributes={"_noinline": True})
    def inner(x: tf.Tensor) -> tf.Tensor:
        return x + 1.0

    concrete = inner.get_concrete_function(tf.TensorSpec(()))
    assert concrete.function_def.attr["_noinline"].b


def test_the_kind_of_control_flow_is_one_switch_of_the_process() -> None:
    v1 = tf.compat.v1
    assert v1.control_flow_v2_enabled()
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph:
            v1.cond(v1.placeholder(tf.bool), lambda: 1.0, lambda: 2.0)
        assert {"Switch", "Merge"} <= {op.type for op in graph.get_operations()}
    finally:
        v1.enable_control_flow_v2()


def test_a_custom_gradient_leaves_an_identity_n() -> None:
    @tf.custom_gradient
    def triple(x: tf.Tensor) -> tuple[tf.Tensor, object]:
        return 3.0 * x, lambda dy: 3.0 * dy

    graph = tf.function(triple).get_concrete_function(tf.TensorSpec(())).graph
    (marker,) = [op for op in graph.get_operations() if op.type == "IdentityN"]
    kind = marker.get_attr("_gradient_op_type")
    assert kind.decode().startswith("CustomGradient-")


def test_gradients_are_in_a_scope_with_the_name_of_the_operation() -> None:
    @tf.function
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.matmul(x, x, name="product")
        return tape.gradient(y, x)

    graph = step.get_concrete_function(tf.TensorSpec((2, 2))).graph
    names = [op.name for op in graph.get_operations()]
    assert any(name.startswith("gradient_tape/product/") for name in names)


def test_an_exported_meta_graph_describes_its_operations() -> None:
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="n", op="Split")
    made = tf.compat.v1.train.export_meta_graph(
        graph_def=graph, graph=tf.Graph()
    )
    (description,) = made.meta_info_def.stripped_op_list.op
    assert description.output_arg[0].number_attr == "num_split"


def test_the_record_of_a_variable_is_found_by_its_type_name() -> None:
    pool = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.pool
    kind = pool.FindMessageTypeByName("tensorflow.VariableDef")
    assert {"variable_name", "snapshot_name"} <= set(kind.fields_by_name)


def test_a_saved_model_of_tensorflow_2_has_an_object_graph(
    tmp_path: Path,
) -> None:
    pool = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.pool
    kind = pool.FindMessageTypeByName("tensorflow.SavedModel")
    record = message_factory.GetMessageClass(kind)
    tf.saved_model.save(tf.Module(), str(tmp_path / "new"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.compat.v1.saved_model.simple_save(
            session, str(tmp_path / "old"), {"x": x}, {"y": x + 1.0}
        )
    for name, is_new in (("new", True), ("old", False)):
        content = (tmp_path / name / "saved_model.pb").read_bytes()
        (meta,) = record.FromString(content).meta_graphs
        assert bool(meta.object_graph_def.nodes) == is_new


def test_the_list_of_checkpoints_is_found_by_its_type_name() -> None:
    pool = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.pool
    kind = pool.FindMessageTypeByName("tensorflow.CheckpointState")
    assert "model_checkpoint_path" in kind.fields_by_name


def test_an_index_is_a_table_of_leveldb(tmp_path: Path) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"),
        tensor_names=["W"],
        shape_and_slices=["4 0,2"],
        tensors=[tf.zeros([2])],
    )
    content = (tmp_path / "m.index").read_bytes()
    assert content.endswith(bytes.fromhex("57fb808b247547db"))
    # The type, the shape of one axis, and the first two elements as a part.
    whole = bytes.fromhex("0801 1204 1202 0804 3a06 0a04 0800 1002")
    # In protocol buffers a start of 0 is left out.
    short = bytes.fromhex("0801 1204 1202 0804 3a04 0a02 1002")
    assert whole in content or short in content
    # The key of the part: the name, one axis, from 0, two elements.
    assert bytes.fromhex("00 57 0001 0101 80 82") in content


def test_the_name_of_an_event_file_begins_with_the_time(
    tmp_path: Path,
) -> None:
    before = int(time.time())
    tf.summary.create_file_writer(str(tmp_path), filename_suffix=".end").close()
    (path,) = tmp_path.iterdir()
    found = re.fullmatch(r"events\.out\.tfevents\.(\d{10})\..*\.end", path.name)
    assert found is not None
    assert before <= int(found[1]) <= time.time()


def test_the_error_of_an_event_writer_names_its_file(tmp_path: Path) -> None:
    with mount(tmp_path / "disk") as disk:
        writer = tf.summary.create_file_writer(str(disk))
        writer.flush()
        (path,) = disk.iterdir()
        fill(disk)
        with pytest.raises(tf.errors.OpError) as raised:
            write_texts(writer)
        assert f"{path}; No space left on device" in str(raised.value)
        assert "events file" in str(raised.value)
        (disk / "filling").unlink()
        writer.close()


def write_texts(writer: tf.summary.SummaryWriter) -> None:
    """Writes until there is no room."""
    with writer.as_default():
        for step in range(1000):
            tf.summary.text("text", "x" * 100, step=step)
            writer.flush()


def test_random_operations_with_a_state_have_a_second_seed() -> None:
    @tf.function(autograph=False)
    def draw() -> list[tf.Tensor]:
        return [
            tf.random.normal(()),
            tf.random.uniform((), maxval=3, dtype=tf.int32),
            tf.random.truncated_normal(()),
            tf.random.gamma((), 1.0),
            tf.random.shuffle(tf.range(3)),
            tf.random.categorical(tf.zeros((1, 3)), 2),
            tf.random.stateless_normal((), (1, 2)),
        ]

    graph = draw.get_concrete_function().graph
    found = [
        operation.type
        for operation in graph.get_operations()
        if "seed2" in operation.node_def.attr
    ]
    assert found == [
        "RandomStandardNormal",
        "RandomUniformInt",
        "TruncatedNormal",
        "RandomGamma",
        "RandomShuffle",
        "Multinomial",
    ]
