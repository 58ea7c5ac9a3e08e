"""Several processes as one program: barriers, exchange, agreement.

Whatever waits has a name and a time limit, so a process that died is an error
that says what was waited for, and never a hang. Messages go over JAX's
coordination service (plain network messages) and not over the devices, so they
work while devices are busy and when they have failed.

With one process every function here returns at once.
"""

import hashlib
import itertools

import jax
from jax.experimental import multihost_utils

from tooldev_jax.errors import UserError
from tooldev_jax.parallel import private_jax

TIMEOUT_S = 600.0

_uses = itertools.count()
_stop_checks = itertools.count(1)


class ProcessTimeoutError(RuntimeError):
  """Another process did not answer within the time limit."""


def initialize(
  coordinator: str = "",
  count: int = 0,
  index: int = -1,
  timeout_s: float = TIMEOUT_S,
) -> None:
  """Joins this process to the others; call it before anything uses a device.

  Args:
    coordinator: "host:port" of process 0; "" lets JAX find it (it knows TPU
      pods, Slurm, Kubernetes and MPI).
    count: number of processes; only with a coordinator.
    index: this one's number from 0; only with a coordinator.
    timeout_s: how long to wait for the others.

  Raises:
    UserError: the arguments contradict one another.
    ProcessTimeoutError: the others did not connect.
  """
  if coordinator and not 0 <= index < count:
    raise UserError(
      f"process_index: {index} is not from 0 to process_count - 1"
      f" ({count - 1}); give both together with the coordinator's address"
    )
  if not coordinator and (count > 0 or index >= 0):
    raise UserError(
      "process_count and process_index mean nothing without a coordinator"
      " (host:port of process 0)"
    )
  # The CPU backend alone has no default for collectives between processes.
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  try:
    jax.distributed.initialize(
      coordinator_address=coordinator or None,
      num_processes=count or None,
      process_id=index if index >= 0 else None,
      initialization_timeout=int(timeout_s),
    )
  except RuntimeError as error:
    if "DEADLINE" in str(error):
      raise ProcessTimeoutError(
        f"the {count} processes did not all reach {coordinator} within"
        f" {timeout_s:.0f} s"
      ) from error
    raise


def is_lead() -> bool:
  """Whether this is the process that writes shared files."""
  return jax.process_index() == 0


def barrier(name: str, timeout_s: float = TIMEOUT_S) -> None:
  """Waits until every process has reached this barrier.

  Raises:
    ProcessTimeoutError: they have not within `timeout_s`; names the barrier.
  """
  client = _client()
  if client is None:
    return
  key = f"tooldev_jax/{next(_uses)}/{name}"
  try:
    client.wait_at_barrier(key, int(timeout_s * 1000))
  except Exception as error:
    raise ProcessTimeoutError(
      f"process {jax.process_index()} waited {timeout_s:.0f} s at barrier"
      f" {name!r} and not every process came: {error}"
    ) from error


def share(name: str, value: str, timeout_s: float = TIMEOUT_S) -> list[str]:
  """Every process's value, in process order. All must call it.

  Raises:
    ProcessTimeoutError: some process gave none; names it.
  """
  client = _client()
  if client is None:
    return [value]
  key = f"tooldev_jax/{next(_uses)}/{name}"
  client.key_value_set(f"{key}/{jax.process_index()}", value)
  values = []
  for process in range(jax.process_count()):
    try:
      values.append(
        client.blocking_key_value_get(f"{key}/{process}", int(timeout_s * 1000))
      )
    except Exception as error:
      raise ProcessTimeoutError(
        f"process {process} gave no {name!r} within {timeout_s:.0f} s"
      ) from error
  return values


def agree(name: str, value: str, timeout_s: float = TIMEOUT_S) -> None:
  """Makes sure that every process has the same value.

  Raises:
    UserError: some process differs; names it and both values' digests.
  """
  digest = hashlib.sha256(value.encode()).hexdigest()[:16]
  values = share(name, digest, timeout_s)
  for process, other in enumerate(values):
    if other != values[0]:
      raise UserError(
        f"{name}: process {process} has another than process 0 ({other}, not"
        f" {values[0]}); every process must run the same command on the same"
        " files"
      )


def stop_asked(asked_here: bool) -> bool:
  """Whether to stop at this step; the same answer on all processes.

  Processes must stop at the same step, though the signal reaches them at
  different ones. JAX's preemption service handles SIGTERM itself and returns
  true at the same call on every process, so all must call this once a step.
  """
  if jax.process_count() == 1:
    return asked_here
  return multihost_utils.reached_preemption_sync_point(next(_stop_checks))


def _client():
  alone = jax.process_count() == 1
  return None if alone else private_jax.coordination_client()
