"""A source's own attribution and licence stand before DROID's."""

import pytest

from featurize.sources.credit import MAX_BYTES, CreditError
from featurize.sources.droid_raw import DroidRaw


def test_the_files_of_the_source_are_taken_word_for_word(tmp_path):
    (tmp_path / "ATTRIBUTION.txt").write_text("Our lab, 2026\n")
    (tmp_path / "LICENSE.txt").write_text("Internal use only.\nAsk before sharing.\n")
    source = DroidRaw(tmp_path)
    assert source.attribution == "Our lab, 2026"
    assert source.licence == "Internal use only.\nAsk before sharing."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", r"LICENSE.txt of the source is not UTF-8 text"),
        (b"", r"has 0 bytes of text; expected 1 to 65536"),
        (b"a" * (MAX_BYTES + 1), r"has 65537 bytes of text; expected 1 to 65536"),
    ],
)
def test_a_licence_that_cannot_be_carried_is_refused(tmp_path, content, message):
    (tmp_path / "LICENSE.txt").write_bytes(content)
    with pytest.raises(CreditError, match=message):
        _ = DroidRaw(tmp_path).licence
