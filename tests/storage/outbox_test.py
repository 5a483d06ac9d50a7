"""Files that are written on the local disk and sent when we say."""

import os

from sam_pod.storage import files, outbox


def test_a_local_folder_is_written_directly(tmp_path):
    box = outbox.Outbox(str(tmp_path))
    assert box.folder == str(tmp_path)
    (tmp_path / "events").write_text("x")
    box.send()
    box.close()
    assert os.listdir(tmp_path) == ["events"]


def test_what_is_new_is_sent(monkeypatch):
    target = "ram://test_what_is_new_is_sent/run"
    sent = []
    upload = files.upload
    monkeypatch.setattr(
        files, "upload", lambda local, path: (sent.append(path), upload(local, path))
    )
    box = outbox.Outbox(target)
    os.makedirs(f"{box.folder}/plugins/profile")
    for name, text in (("events", "one"), ("plugins/profile/trace", "two")):
        with open(f"{box.folder}/{name}", "w") as file:
            file.write(text)
    assert files.names(target) == []
    box.send()
    assert files.read(f"{target}/events") == "one"
    assert files.read(f"{target}/plugins/profile/trace") == "two"
    box.send()
    assert len(sent) == 2
    with open(f"{box.folder}/events", "a") as file:
        file.write(" more")
    box.send()
    assert sent[2:] == [f"{target}/events"]
    assert files.read(f"{target}/events") == "one more"
    box.close()
    assert not os.path.exists(box.folder)
    files.remove_folder(target)
