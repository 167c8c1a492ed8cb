"""An episode read again after `index` has looked at it: it must still be what the plan was made from."""

from functools import partial

from featurize.index import open_source
from featurize.index_table import IndexedStream
from featurize.isolation import ForeignReader
from featurize.recipe import Build
from featurize.rejects import RejectReason, UnusableError
from featurize.sources.protocol import Episode, EpisodeRef


def load_as_indexed(build: Build, reader: ForeignReader, indexed: IndexedStream) -> Episode:
    """The episode of a stream, with that stream alone. Raises UnusableError where either has changed."""
    ref = EpisodeRef(episode_id=indexed.episode_id, location=indexed.location)
    load = partial(open_source(build).load, ref, (indexed.camera,), build.recipe.clock)
    episode = reader.run(load, f"reading {indexed.location}")
    if not IndexedStream.of(episode, episode.streams[indexed.camera]).is_same(indexed):
        raise UnusableError(
            RejectReason.CHANGED_SINCE_INDEX,
            f"metadata, rows, times or video size in {indexed.location} differ from what the plan used.",
        )
    return episode
