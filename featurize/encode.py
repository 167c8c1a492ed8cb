"""Step `encode`: decode, crop, encode, quantise and write slots; any of them, anywhere, in any order.

While one slot is encoded, threads decode the next ones, another quantises the last one and others write those
before. Only so many wait between two stages: memory does not depend on how many slots there are.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from featurize.encoder.registry import FrozenEncoder
from featurize.errors import UnknownSlotsError
from featurize.holding import holding_store
from featurize.planned import open_calibrated, require_encoder
from featurize.recipe import Build
from featurize.slot_job import SlotJob
from featurize.threads import most_decoders, most_writers, one_thread
from store_schema.claims import Claims, is_claimed
from store_schema.ledger import settled_slots
from store_schema.ledger_row import LedgerRow

STAGE_AHEAD: Final = 2
POLL_SECONDS: Final = 0.5
logger = logging.getLogger(__name__)


@holding_store
def encode(build: Build, encoder: FrozenEncoder, slots: Sequence[int] | None = None) -> int:
    """Encode those of `slots` (default: all) that the ledger lacks; returns how many that were.

    Slots that another process has claimed are waited for, and encoded here if it dies. Raises StoreHeldError,
    and what `pending_slots` and `encode_slots` raise.
    """
    rounds = iter(lambda: await_free_slots(build, slots), [])
    return sum(encode_unclaimed(build, encoder, free) for free in rounds)


def join(build: Build, encoder: FrozenEncoder) -> int:
    """Encode slots of a store that another process builds, the last ones first; returns how many that were.

    Ends when no slot is free, and leaves `finalise` to the other. Raises what `encode_slots` raises.
    """
    rounds = iter(lambda: free_slots(build)[::-1], [])
    return sum(encode_unclaimed(build, encoder, free) for free in rounds)


def encode_unclaimed(build: Build, encoder: FrozenEncoder, slots: Sequence[int], *, workers: int = 1) -> int:
    """What one of `workers` on this machine does of `encode` or `join`: `slots` that nobody is at work on."""
    return sum(1 for _ in encode_slots(build, encoder, pending_slots(build, slots), workers=workers))


def free_slots(build: Build, slots: Sequence[int] | None = None) -> list[int]:
    """The pending slots that nobody is at work on. Raises what `pending_slots` raises."""
    return [slot for slot in pending_slots(build, slots) if not is_claimed(build.store, slot)]


def await_free_slots(build: Build, slots: Sequence[int] | None = None) -> list[int]:
    """The same, but none only where none is pending: claimed ones are waited for."""
    pending, is_waiting = pending_slots(build, slots), False
    while pending:
        free = [slot for slot in pending if not is_claimed(build.store, slot)]
        if free:
            return free
        if not is_waiting:
            logger.warning("Waiting for %d slots that another process is at work on.", len(pending))
            is_waiting = True
        time.sleep(POLL_SECONDS)
        settled = settled_slots(build.store)
        pending = [slot for slot in pending if slot not in settled]
    return []


def pending_slots(build: Build, slots: Sequence[int] | None = None) -> list[int]:
    """Of the slots asked for (default: all), those that are not in the ledger, in the order given.

    Raises UnknownSlotsError, and what `open_calibrated` raises.
    """
    num_slots = open_calibrated(build).attributes.num_slots
    asked = range(num_slots) if slots is None else slots
    foreign = [slot for slot in asked if not 0 <= slot < num_slots]
    if foreign:
        raise UnknownSlotsError(f"Slots {foreign} do not exist; the plan has slots 0 to {num_slots - 1}.")
    settled = settled_slots(build.store)
    return [slot for slot in dict.fromkeys(asked) if slot not in settled]


def encode_slots(
    build: Build, encoder: FrozenEncoder, slots: Sequence[int], *, workers: int = 1
) -> Iterator[LedgerRow]:
    """Encode slots and yield the ledger row of each once it is safely on disk, in the order given.

    workers: how many processes share this machine's cores; no byte depends on it.

    Slots that are settled, or that another encoder is at work on, are left out. An episode that cannot be
    decoded, or whose latents are not finite, is settled as rejected. Raises FingerprintMismatchError where
    the encoder is not the one the store was planned for.
    """
    store = open_calibrated(build)
    require_encoder(store, build, encoder)
    num_decoders, num_writers = most_decoders(encoder.device, workers), most_writers(encoder.device)
    job = SlotJob(build, encoder, store, slots, num_decoders)
    with (
        Claims(build.store) as claims,
        one_thread(),
        ThreadPoolExecutor(num_decoders) as decoders,
        ThreadPoolExecutor(1) as quantiser,
        ThreadPoolExecutor(num_writers) as writers,
        job.loader,
    ):
        decoded = ahead(decoders, job.decode, claims.take(slots), most=2 * num_decoders)
        quantised = ahead(quantiser, job.quantise, map(job.encode, decoded), most=1)
        for row in ahead(writers, job.write, quantised, most=max(STAGE_AHEAD, num_writers)):
            claims.release(row.slot)
            yield row


Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    most: int = STAGE_AHEAD,
) -> Iterator[Result]:
    """Results in order, with items in work before they are asked for.

    STAGE_AHEAD of them; one more, up to `most`, each time a result is asked for that is not ready.
    """
    waiting: deque[Future[Result]] = deque()
    num_ahead = min(STAGE_AHEAD, most)
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > num_ahead:
            num_ahead = min(num_ahead + (not waiting[0].done()), most)
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
