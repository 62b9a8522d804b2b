"""The tests of Keras that the package's classes fail on purpose."""

# A pattern of `suite::Class::test`, and its row in docs/keras_differences.md.
DIFFERENCES: dict[str, str] = {
    r"backend/tensorflow/distribute_test\.py::.*_correctness_with_fit": "D1",
    r"integration_tests/tf_distribute_training_test\.py::": "D1",
    r"callbacks/swap_ema_weights_test\.py::.*with_tf_distribute": "D6",
    r"layers/regularization/dropout_test\.py::.*_(negative_rate|greater)": "D3",
    r"optimizers/adam_test\.py::.*::test_co(nfig|rrectness_with_golden)$": "D2",
    r"optimizers/optimizer_sparse_test\.py::.*_adam_amsgrad$": "D2",
    r"saving/saving_lib_test\.py::.*test_compile_overridden_warnings": "D12",
    r"saving/saving_lib_test\.py::.*(legacy_h5_format|endpoint_h5)$": "D4",
}
