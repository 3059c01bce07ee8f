"""The files for Docker, Kubernetes and the clouds: whole, pinned, closed, and of one mind with the rest."""

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
CONSTRAINTS = (DEPLOY.parent / "constraints.txt").read_text()
(RAY,) = re.findall(r"^ray==(.+)$", CONSTRAINTS, re.MULTILINE)
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
CLOUDS = ("aws", "gcp")
KUBERNETES = {
    f"{document['kind']}": document
    for path in sorted((DEPLOY / "kuberay").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}

# The keys of KubeRay's types, release 1.6 (ray-operator/apis/ray/v1); its full schemas are a megabyte.
RAY_CLUSTER = (
    "rayVersion authOptions enableInTreeAutoscaling autoscalerOptions gcsFaultToleranceOptions headGroupSpec "
    "workerGroupSpecs"
)
AUTOSCALER = (
    "version idleTimeoutSeconds upscalingMode resources image imagePullPolicy env envFrom securityContext volumeMounts"
)
GROUP = "groupName replicas minReplicas maxReplicas numOfHosts rayStartParams template"
RAY_JOB = (
    "clusterSelector submissionMode shutdownAfterJobFinishes entrypoint runtimeEnvYAML rayClusterSpec backoffLimit "
    "activeDeadlineSeconds ttlSecondsAfterFinished"
)


def leaves(value: Any) -> Iterator[str]:
    """Every text in a document, keys apart."""
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield str(value)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run(["sh", DEPLOY / "secrets.sh", folder], check=True)
    return folder


def test_secrets_are_ours_alone_and_stay(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o600}
    assert (secrets / ".gitignore").read_text() == "*\n"
    assert re.fullmatch("[0-9a-f]{64}", (secrets / "ray_token").read_text())
    (identity,) = json.loads((secrets / "s3_identities").read_text())["identities"]
    assert identity["credentials"][0]["secretKey"] == (secrets / "s3_secret").read_text()
    subprocess.run(["sh", DEPLOY / "secrets.sh", secrets], check=True)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_compose_publishes_on_loopback_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert COMPOSE["networks"]["inside"]["internal"]
    for name in ("postgres", "s3"):
        assert COMPOSE["services"][name]["networks"] == ["inside"]


def test_compose_has_every_secret_from_a_file_that_is_made(secrets: Path) -> None:
    made = {path.name for path in secrets.iterdir()}
    assert {secret["file"].removeprefix("secrets/") for secret in COMPOSE["secrets"].values()} <= made
    used = set()
    for service in COMPOSE["services"].values():
        used |= {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for path in leaves([service.get("environment", {}) for service in COMPOSE["services"].values()]):
        if path.startswith("/run/secrets/"):
            assert path.removeprefix("/run/secrets/") in used


def test_compose_builds_what_the_dockerfile_has() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM .+ AS (\S+)$", text, re.MULTILINE))
    arguments = set(re.findall(r"^ARG (\w+)=", text, re.MULTILINE))
    built = {name: service["build"] for name, service in COMPOSE["services"].items() if "build" in service}
    assert {build["target"] for build in built.values()} == {"distgan", "mlflow"} <= stages
    for build in built.values():
        assert (DEPLOY / build["context"] / build["dockerfile"]).exists()
        assert set(build["args"]) <= arguments
    images = {service["image"] for service in COMPOSE["services"].values()}
    assert all(re.search(r":[^:]*\d|:\$\{DISTGAN_COMPUTE", image) for image in images), images
    (mlflow,) = re.findall(r"^mlflow==(.+)$", CONSTRAINTS, re.MULTILINE)
    assert f"distgan-mlflow:{mlflow}" in images


def test_every_ray_of_compose_asks_for_the_token() -> None:
    for service in COMPOSE["services"].values():
        if service.get("entrypoint", [""])[0] == "ray":
            assert service["environment"]["RAY_AUTH_MODE"] == "token"
            assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"


@pytest.mark.parametrize("cloud", CLOUDS)
def test_ray_itself_takes_the_launchers_file(cloud: str) -> None:
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    config = yaml.safe_load((DEPLOY / f"{cloud}.yaml").read_text())
    validate_config(fillout_defaults(config))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_launchers_cluster_is_closed_and_pinned(cloud: str) -> None:
    config = yaml.safe_load((DEPLOY / f"{cloud}.yaml").read_text())
    for command in (*config["head_start_ray_commands"][1:], *config["worker_start_ray_commands"][1:]):
        assert "RAY_AUTH_MODE=token ray start" in command
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]
    assert config["file_mounts"]["~/.ray/auth_token"] == "deploy/secrets/ray_token"
    assert "deploy/secrets" in config["rsync_exclude"]
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"][0]
    assert any("-c constraints.txt" in command for command in config["setup_commands"])
    for command in (
        *config["setup_commands"],
        *config["head_start_ray_commands"],
        *config["worker_start_ray_commands"],
    ):
        subprocess.run(["bash", "-n", "-c", command], check=True)
    assert "0.0.0.0" not in "\n".join(leaves(config))


def test_the_clouds_differ_in_what_clouds_differ_in() -> None:
    aws, gcp = (yaml.safe_load((DEPLOY / f"{cloud}.yaml").read_text()) for cloud in CLOUDS)
    same = {key for key in aws if aws[key] == gcp[key]}
    assert set(aws) - same == {"provider", "available_node_types", "setup_commands", "head_setup_commands"}
    differ = [pair for pair in zip(aws["setup_commands"], gcp["setup_commands"], strict=True) if pair[0] != pair[1]]
    assert len(differ) == 1  # the file system


def test_kubernetes_has_no_key_that_kuberay_has_not() -> None:
    cluster = KUBERNETES["RayCluster"]["spec"]
    assert set(cluster) <= set(RAY_CLUSTER.split())
    assert set(cluster["autoscalerOptions"]) <= set(AUTOSCALER.split())
    assert set(cluster["authOptions"]) <= {"mode", "secretName"}
    assert set(cluster["gcsFaultToleranceOptions"]) <= {"redisAddress", "redisUsername", "redisPassword"}
    assert set(cluster["headGroupSpec"]) <= {"rayStartParams", "template"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= set(GROUP.split())
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert set(KUBERNETES["RayJob"]["spec"]) <= set(RAY_JOB.split())
    assert cluster["rayVersion"] == RAY


def test_kubernetes_has_the_token_from_a_secret_and_lets_no_pod_be_root() -> None:
    cluster = KUBERNETES["RayCluster"]
    assert cluster["spec"]["authOptions"] == {"mode": "token", "secretName": cluster["metadata"]["name"]}
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups] + [KUBERNETES["StatefulSet"]["spec"]["template"]["spec"]]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        mounted = {volume["name"] for volume in pod["volumes"]} | {"data"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert {mount["name"] for mount in container["volumeMounts"]} <= mounted


def test_kubernetes_gives_gpus_to_one_group_and_a_job_a_cluster() -> None:
    groups = KUBERNETES["RayCluster"]["spec"]["workerGroupSpecs"]
    wanted = {
        group["groupName"]: group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for group in groups
    }
    assert wanted == {"cpu": None, "gpu": "1"}
    job = KUBERNETES["RayJob"]["spec"]
    assert job["clusterSelector"] == {"ray.io/cluster": KUBERNETES["RayCluster"]["metadata"]["name"]}
    assert "--resume" in job["entrypoint"]
    address = KUBERNETES["RayCluster"]["spec"]["gcsFaultToleranceOptions"]["redisAddress"]
    service = KUBERNETES["Service"]
    assert address == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"


@pytest.mark.parametrize("script", ["secrets.sh", "slurm.sh", "mlflow/serve.sh"])
def test_a_script_can_be_read_by_its_shell(script: str) -> None:
    path = DEPLOY / script
    shell = path.read_text().splitlines()[0].removeprefix("#!")
    subprocess.run([shell, "-n", path], check=True)
