import uuid

from services.common.ids import derived_id, is_token, new_id


def test_new_ids_are_version_7_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(50)]
    assert all(uuid.UUID(i).version == 7 for i in ids)
    assert len(set(ids)) == 50
    assert [i[:13] for i in ids] == sorted(i[:13] for i in ids)


def test_derived_ids_depend_on_every_part_and_on_their_borders() -> None:
    assert derived_id("leg", "o1") == derived_id("leg", "o1")
    assert derived_id("leg", "o1") != derived_id("leg", "o2")
    assert derived_id("a", "bc") != derived_id("ab", "c")


def test_tokens() -> None:
    assert all(is_token(t) for t in ("demo", "a", "fs1", "a-b", "0"))
    assert not any(is_token(t) for t in ("", "-a", "A", "a.b", "a b", "a*", "x" * 64, "سلام"))


def test_derived_ids_are_uuids_of_version_5() -> None:
    namespace = uuid.UUID("8f4c2f1e-5d0e-5b6c-9d7a-2f6f3f1c7a10")
    for parts in (("leg", "o1"), ("سلام",), ("", "")):
        assert derived_id(*parts) == str(uuid.uuid5(namespace, "\x1f".join(parts)))
