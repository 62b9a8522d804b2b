"""How several devices share a batch."""

from keras_port.training.sharing.links import Links as Links
from keras_port.training.sharing.links import describe as describe
from keras_port.training.sharing.links import get_links as get_links
from keras_port.training.sharing.links import set_links as set_links
from keras_port.training.sharing.one_device import FinishStep as FinishStep
from keras_port.training.sharing.one_device import Logs as Logs
from keras_port.training.sharing.one_device import OneDevice as OneDevice
from keras_port.training.sharing.one_device import Sharing as Sharing
from keras_port.training.sharing.replicas import Replicas as Replicas
from keras_port.training.sharing.replicas import check_metrics as check_metrics
from keras_port.training.sharing.replicas import (
    check_outside_of_scope as check_outside_of_scope,
)
from keras_port.training.sharing.replicas import (
    check_replicas as check_replicas,
)
from keras_port.training.sharing.replicas import compile_scope as compile_scope
from keras_port.training.sharing.replicas import disable_xla as disable_xla
from keras_port.training.sharing.replicas import has_replicas as has_replicas
from keras_port.training.sharing.shard_gradients import (
    build_optimizer as build_optimizer,
)
from keras_port.training.sharing.shard_gradients import (
    compute_batch_gradients as compute_batch_gradients,
)
from keras_port.training.sharing.shard_gradients import (
    compute_shard_gradients as compute_shard_gradients,
)
from keras_port.training.sharing.shard_gradients import (
    evaluate_batch as evaluate_batch,
)
from keras_port.training.sharing.shard_gradients import (
    evaluate_shard as evaluate_shard,
)
from keras_port.training.sharing.workers import (
    compare_workers as compare_workers,
)
from keras_port.training.sharing.workers import get_workers as get_workers
from keras_port.training.sharing.workers import is_chief as is_chief
from keras_port.training.sharing.workers import (
    lost_worker_errors as lost_worker_errors,
)
from keras_port.training.sharing.workers import (
    needing_all_workers as needing_all_workers,
)
from keras_port.training.sharing.workers import worker_errors as worker_errors

__all__: list[str] = []
