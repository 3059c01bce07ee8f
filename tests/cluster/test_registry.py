"""What the registry takes and gives: whole models under safe names, and nothing that was put in their place."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster import provenance
from cluster.home import Home
from cluster.registry import find, list_versions, register, resolve, with_models
from cluster.runs import flush, runs
from cluster.tracking import SHIPPED, Delivery, answering, connect, shown
from distgan.config.run_config import read_config
from distgan.model import load_model
from storage.errors import DataError, MissingError, RecipeError, ServiceError
from storage.patches import PatchStore

TRAVERSALS = [
    "../secret",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\secret",
    "%2e%2e%2fsecret",
    "%252e%252e%252fsecret",
    "..%2fsecret",
    "....//secret",
    "./../secret",
    "a/../../secret",
    "secret#/../..",
    "secret?x=/../../etc/passwd",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "s3://bucket/../secret",
    "mlflow-artifacts:/../../etc/passwd",
    "models:/../secret",
    "~/.ssh/id_rsa",
    "\\\\host\\share\\secret",
    "C:\\Windows\\win.ini",
    "secret\x00.png",
    "secret\n",
    "a\r\nInjected: header",
    "..",
    ".",
    "",
    "con",
    "name.",
]


@pytest.fixture
def delivered(finished: Path, home: Home) -> Home:
    """The same, delivered and registered."""
    shutil.copytree(finished, home.path)
    assert [done for _, done in flush(home)] == ["delivered 4 lines and the model"]
    return home


def version_folder(home: Home) -> Path:
    return Path(find(home, "models:/tiny@candidate").source.removeprefix("file://"))


# what is delivered


def history(home: Home) -> dict[str, list[int]]:
    """At which images seen MLflow has each metric."""
    client, (one,) = connect(home), runs(home)
    keys = client.get_run(one.run_id).data.metrics
    return {key: [point.step for point in client.get_metric_history(one.run_id, key)] for key in keys}


def test_a_flush_delivers_once_and_moves_no_alias_back(delivered: Home) -> None:
    (one,) = runs(delivered)
    assert (one.name, one.state, one.images_seen, one.images) == ("tiny", "finished", 48, 48)
    before = history(delivered)
    assert before["kid"] == [0, 48]
    ended = connect(delivered).get_run(one.run_id).info.end_time
    client = connect(delivered)
    client.delete_registered_model_alias("tiny", "candidate")
    assert [done for _, done in flush(delivered)] == ["nothing to deliver"]
    assert history(delivered) == before
    assert client.get_run(one.run_id).info.end_time == ended
    assert list_versions(delivered)[0].aliases == ()


def test_a_run_says_in_mlflow_what_it_was_made_with(finished: Path, patches: Path, recipe: Path, home: Home) -> None:
    shutil.copytree(finished, home.path)
    provenance.note(home.run("tiny"), read_config(recipe))
    assert [done for _, done in flush(home)] == ["delivered 4 lines and the model"]
    (one,) = runs(home)
    connect(home).set_tag(one.run_id, SHIPPED, "-1")  # as if the server had died in the middle of it
    list(flush(home))
    told, store = connect(home).get_run(one.run_id), PatchStore.open(patches)
    given = [json.loads(found.dataset.source)["sha256"] for found in told.inputs.dataset_inputs]
    assert sorted(given) == sorted([store.digest, store.manifest.facts["source"]])
    names = {found.path for found in connect(home).list_artifacts(one.run_id)}
    assert {"recipe.json", "provenance.json", "figures", "model"} <= names
    noted = json.loads((home.run("tiny") / "provenance.json").read_text())
    assert noted["environment"]["torch"] == torch.__version__
    assert told.data.tags["mlflow.source.git.commit"] == noted["revision"]


def test_the_revision_is_of_our_repository_and_tells_of_changes(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=me", "-c", "user.email=me@host"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    assert provenance.revision(package) == ""
    git("init")
    assert provenance.revision(package) == "", "a repository that the package is not of"
    git("add", ".")
    git("commit", "-m", "one")
    commit = git("rev-parse", "HEAD").strip()
    assert provenance.revision(package) == commit
    (package / "__init__.py").write_text("changed = True\n")
    assert provenance.revision(package) == f"{commit}-modified"


def test_a_dead_server_costs_nothing_but_time(finished: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(finished, home.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceError, match="MLflow does not answer") as silent:
        list(flush(home))
    assert "runs flush" in silent.value.do
    assert "secret" not in f"{silent.value}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [done for _, done in flush(home)] == ["delivered 4 lines and the model"]


def test_half_a_delivery_is_completed(delivered: Home) -> None:
    (one,) = runs(delivered)
    connect(delivered).set_tag(one.run_id, SHIPPED, "47")  # as if the server had died before the last line
    (told,) = [done for _, done in flush(delivered)]
    assert told.startswith("delivered")
    assert "model" not in told
    assert connect(delivered).get_run(one.run_id).info.status == "FINISHED"


def test_a_run_that_was_deleted_is_said_to_be(delivered: Home) -> None:
    (one,) = runs(delivered)
    connect(delivered).set_tag(one.run_id, SHIPPED, "1")
    connect(delivered).delete_run(one.run_id)
    with pytest.raises(ServiceError, match="deleted there") as gone:
        list(flush(delivered))
    assert "mlflow runs restore" in gone.value.do


@pytest.mark.parametrize(("code", "wrong"), [(401, "demands a name and a password"), (403, "demands a name")])
def test_a_server_that_wants_a_password_says_what_to_set(
    home: Home, monkeypatch: pytest.MonkeyPatch, server: Any, code: int, wrong: str
) -> None:
    with server(code, b"You are not authenticated") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(ServiceError, match=wrong) as refused, answering(home):
            connect(home).search_experiments()
    assert "MLFLOW_TRACKING_PASSWORD" in refused.value.do


def test_addresses_are_told_without_passwords() -> None:
    assert shown("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert shown("sqlite:////home/me/mlflow.db") == "sqlite:////home/me/mlflow.db"


# names


@pytest.mark.parametrize("name", TRAVERSALS, ids=range(len(TRAVERSALS)))
def test_no_name_leaves_its_place(finished: Path, home: Home, recipe: Path, name: str) -> None:
    model = finished / "runs" / "tiny" / "model"
    with pytest.raises(RecipeError):
        register(home, model, "run", name, "candidate")
    with pytest.raises(RecipeError):
        register(home, model, "run", "tiny", name)
    with pytest.raises(RecipeError):
        read_config(recipe, [f"run.name={json.dumps(name)}"])
    if name:
        with pytest.raises(RecipeError):
            read_config(recipe, [f"register.name={json.dumps(name)}"])
    assert not home.path.exists()


def test_neither_an_address_nor_a_source_is_a_path(delivered: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    known, honest = list_versions(delivered), find(delivered, "models:/tiny@candidate")
    monkeypatch.setattr("cluster.registry.list_versions", lambda home: known)
    for text in TRAVERSALS:
        for address in (
            f"models:/{text}/1",
            f"models:/{text}@candidate",
            f"models:/tiny@{text}",
            f"models:/tiny/{text}",
        ):
            with pytest.raises(MissingError) as missing:
                find(delivered, address)
            assert "\n" not in missing.value.wrong
        known[:] = [replace(honest, source=text)]
        with pytest.raises(DataError, match="is not what was registered"):
            resolve(delivered, "models:/tiny@candidate")


# what is not as it was


def change(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def other_model(folder: Path) -> None:
    """Whole in itself, but not the one that was registered."""
    from storage.manifest import NAME, seal

    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"images_seen": 10**9}))
    (folder / NAME).unlink()
    seal(folder, "model", {})


def linked(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    moved = folder.parent / "elsewhere"
    weights.rename(moved)
    weights.symlink_to(moved)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda folder: (folder / "weights.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / "MANIFEST.json").unlink(), "it has no MANIFEST.json"),
        (other_model, "was registered"),
        (linked, "is a link"),
        (
            lambda folder: (folder / "model.json").write_bytes(change((folder / "model.json").read_bytes())),
            "SHA-256",
        ),
    ],
    ids=["missing file", "no manifest", "another model", "link", "a changed byte"],
)
def test_a_version_that_is_not_as_it_was_is_refused(delivered: Home, damage: Callable[[Path], Any], found: str) -> None:
    damage(version_folder(delivered))
    with pytest.raises(DataError) as refused:
        load_model(resolve(delivered, "models:/tiny@candidate"))
    assert found in refused.value.found


def test_a_damaged_model_is_never_registered(finished: Path, home: Home) -> None:
    shutil.copytree(finished, home.path)
    weights = home.run("tiny") / "model" / "weights.safetensors"
    weights.write_bytes(change(weights.read_bytes()))
    with pytest.raises(DataError, match="is damaged"):
        list(flush(home))
    assert not list_versions(home)


def test_what_did_not_arrive_whole_is_not_registered(
    finished: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, home.path)
    delivery = Delivery(home, home.run("tiny"), "tiny")
    delivery.deliver()

    def half(self: Any, run_id: str, folder: str, where: str) -> None:
        self.log_artifact(run_id, f"{folder}/model.json", where)

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.log_artifacts", half)
        with pytest.raises(ServiceError, match="has not arrived whole"):
            register(home, home.run("tiny") / "model", delivery.run_id, "tiny", "candidate")
    assert not list_versions(home)
    assert register(home, home.run("tiny") / "model", delivery.run_id, "tiny", "candidate").version == 1
    assert register(home, home.run("tiny") / "model", delivery.run_id, "tiny", "candidate").version == 1


def test_a_model_to_begin_with_is_kept_where_every_machine_sees_it(
    delivered: Home, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's files come to a folder of this machine, which others do not see, and which is lost some day."""
    downloaded = tmp_path / "of this machine"

    def download(source: str, **_: Any) -> str:
        shutil.copytree(source.removeprefix("file://"), downloaded)
        return str(downloaded)

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    given = 'init.critic={model="models:/tiny@candidate"}'
    for _ in range(2):
        kept = with_models(read_config(recipe, [given]), delivered).init["critic"]
        shutil.rmtree(downloaded)
        assert Path(kept.model).is_relative_to(delivered.path)
        assert load_model(Path(kept.model)).digest == kept.digest


def test_a_version_has_its_card(delivered: Home) -> None:
    text = connect(delivered).get_model_version("tiny", "1").description
    model = load_model(resolve(delivered, "models:/tiny/1"))
    for told in (
        model.card["patch_store"],
        model.card["image_store"],
        "Licence of the data: not given",
        "not for diag",
    ):
        assert told in text
    for name in ("kid", "kid_low", "kid_high", "kid_floor", "kid_untrained"):
        assert f"| {name} | {model.card['metrics'][name]:.5g} |" in text
