#!/bin/sh
# MLflow's server, alike for mlflow.service and compose.yaml. It runs in the folder that keeps its users.
#
# Secrets are files of one folder (made by deploy/secrets.sh), and reach MLflow by its environment, which only its
# owner can read; a command line could be read by everybody on the machine:
#   mlflow_admin_password   of the user admin, who is made at the first start
#   mlflow_secret_key       signs the forms of its pages
#   mlflow_database         address of its database, such as postgresql://USER:PASSWORD@HOST/NAME
# Settings: MLFLOW_HOST, MLFLOW_PORT, MLFLOW_SERVER_ALLOWED_HOSTS (names under which it may be asked for),
# MLFLOW_ARTIFACTS_DESTINATION (a folder, or s3://BUCKET).
set -eu
umask 077
here=$(dirname "$(realpath "$0")")
secrets=${CREDENTIALS_DIRECTORY:-/run/secrets}

MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$secrets/mlflow_admin_password")
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$secrets/mlflow_secret_key")
MLFLOW_BACKEND_STORE_URI=$(cat "$secrets/mlflow_database")
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_BACKEND_STORE_URI

export MLFLOW_AUTH_CONFIG_PATH="$here/basic_auth.ini"
export MLFLOW_BASIC_AUTH_FAIL_CLOSED=true
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # seven processes that distgan has no use for
export MLFLOW_DISABLE_TELEMETRY=true

# One worker: another costs 250 MB, and one takes all that the drivers of a laboratory deliver.
exec mlflow server \
    --app-name basic-auth \
    --workers 1 \
    --host "${MLFLOW_HOST:-127.0.0.1}" \
    --port "${MLFLOW_PORT:-5000}" \
    --allowed-hosts "${MLFLOW_SERVER_ALLOWED_HOSTS:-localhost:*,127.0.0.1:*}" \
    --serve-artifacts \
    --artifacts-destination "${MLFLOW_ARTIFACTS_DESTINATION:-artifacts}"
