#!/bin/sh
# Make the secrets of a deployment as files of a folder, each readable by you alone. What is there already stays.
#   sh deploy/secrets.sh deploy/secrets
set -eu
folder=${1:?"say where: sh $0 FOLDER"}
umask 077
mkdir -p "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
made() { # a file of this name from standard input, whole or not at all
    if [ -e "$folder/$1" ]; then cat >/dev/null; return; fi
    cat >"$folder/$1.part"
    mv "$folder/$1.part" "$folder/$1"
}

printf '*\n' | made .gitignore
random | made ray_token
random | made postgres_password
random | made mlflow_admin_password
random | made mlflow_secret_key
random | made s3_secret
random | made redis_password
printf 'postgresql://mlflow:%s@postgres/mlflow' "$(cat "$folder/postgres_password")" | made mlflow_database
# As distgan's MLflow client looks for it: ~/.mlflow/credentials.
printf '[mlflow]\nmlflow_tracking_username = admin\nmlflow_tracking_password = %s\n' \
    "$(cat "$folder/mlflow_admin_password")" | made mlflow_credentials
# The same keys for both sides of the object store: ~/.aws/credentials, and SeaweedFS's own.
printf '[default]\naws_access_key_id = mlflow\naws_secret_access_key = %s\n' \
    "$(cat "$folder/s3_secret")" | made s3_credentials
printf '{"identities": [{"name": "mlflow", "credentials": [{"accessKey": "mlflow", "secretKey": "%s"}], "actions": ["Admin"]}]}\n' \
    "$(cat "$folder/s3_secret")" | made s3_identities
