"""What several folders of the package stand on; nothing here is public."""

from keras_port._support.graph_check import graph_check as graph_check
from keras_port._support.graph_check import value_errors as value_errors
from keras_port._support.shards import Draws as Draws
from keras_port._support.shards import Shard as Shard
from keras_port._support.shards import current_shard as current_shard
from keras_port._support.shards import even_shard as even_shard
from keras_port._support.shards import replica_context as replica_context
from keras_port._support.shards import shard_of_replica as shard_of_replica
from keras_port._support.shards import working_on as working_on
from keras_port._support.validation import INT64_MAX as INT64_MAX
from keras_port._support.validation import check_integer as check_integer

__all__: list[str] = []
