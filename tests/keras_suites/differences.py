"""The tests of Keras that the package's classes fail on purpose."""

# A pattern of `suite::Class::test`, and its row in docs/keras_differences.md.
DIFFERENCES: dict[str, str] = {}
