"""Shards and indexes that are not what was prepared: where, and what they are."""

import shutil

from sam_pod.data.stored import framing, manifest, offsets
from tests.data.stored import edited
from tests.data.stored.edited import adopt, edit, first_shard, refusal

original = edited.original
folder = edited.folder


def test_a_missing_shard_is_named(folder):
    path, _ = first_shard(folder)
    path.unlink()
    assert f"{path} is missing" in refusal(folder)


def test_flipped_bytes_are_found_where_the_record_starts(folder):
    path, ends = first_shard(folder)
    content = path.read_bytes()
    for place in [*range(ends[4], ends[4] + 16), *range(ends[4] + 16, ends[5], 5)]:
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        text = refusal(folder)
        assert f"{path} is corrupt at byte {ends[4]}:" in text, place


def test_truncations_are_found_where_the_record_starts(folder):
    path, ends = first_shard(folder)
    content = path.read_bytes()
    for size in range(ends[-3], ends[-1], 5):
        path.write_bytes(content[:size])
        offset = max(end for end in ends if end <= size)
        text = refusal(folder)
        assert f"{path} is truncated at byte {offset}:" in text, size
        assert f"it has {size} bytes" in text
    path.write_bytes(b"")
    assert f"{path} is truncated at byte 0:" in refusal(folder)


def test_bytes_after_the_last_record_are_found(folder):
    path, ends = first_shard(folder)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert f"{path} is corrupt at byte {ends[-1]}:" in refusal(folder)


def test_a_length_that_points_beyond_the_file_is_found(folder):
    path, ends = first_shard(folder)
    length = (10**13).to_bytes(8, "little")
    header = length + framing.masked_crc32c(length).to_bytes(4, "little")
    content = bytearray(path.read_bytes())
    content[ends[2] : ends[2] + 12] = header
    path.write_bytes(content)
    assert f"{path} is truncated at byte {ends[2]}:" in refusal(folder)
    adopt(folder, path)
    assert f"{path} is truncated at byte {ends[2]}:" in refusal(folder)


def test_another_shard_under_the_name_is_found(folder):
    path, _ = first_shard(folder)
    other = folder / manifest.read(folder).splits["train"][1].file
    shutil.copyfile(other, path)
    assert f"{path} is another file than the one prepared" in refusal(folder)


def test_a_record_count_that_disagrees_is_refused(folder):
    edit(folder, lambda data: data["splits"]["train"][0].update(num_examples=12))
    path, ends = first_shard(folder)
    assert f"{path} holds {len(ends) - 1} examples" in refusal(folder)
    assert "says 12" in refusal(folder)


def test_a_corrupt_record_is_found_though_the_manifest_has_its_checksum(folder):
    path, ends = first_shard(folder)
    content = bytearray(path.read_bytes())
    content[ends[3] + 50] ^= 1
    path.write_bytes(content)
    adopt(folder, path)
    assert f"{path} is corrupt at byte {ends[3]}, though" in refusal(folder)


def test_a_missing_index_is_named(folder):
    path = folder / offsets.file_name(first_shard(folder)[0].name)
    path.unlink()
    assert f"{path} is missing" in refusal(folder)


def test_an_index_that_changed_is_named(folder):
    path = folder / offsets.file_name(first_shard(folder)[0].name)
    content = bytearray(path.read_bytes())
    content[9] ^= 1
    path.write_bytes(content)
    assert f"{path} is another file than the one prepared" in refusal(folder)


def test_an_index_of_other_places_is_refused_though_its_checksum_is_right(folder):
    path = folder / offsets.file_name(first_shard(folder)[0].name)
    starts = offsets.read(str(path))
    checksum = offsets.write(str(path), starts[:-1][::2], starts[-1])
    edit(
        folder,
        lambda data: data["splits"]["train"][0].update(index_crc32=checksum),
    )
    assert f"{path} says that records of train-00000-of" in refusal(folder)
