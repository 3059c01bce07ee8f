#!/bin/bash
# A training, search or sweep on the nodes of a Slurm job, each of which becomes a node of Ray.
#   sbatch deploy/slurm.sh train RECIPE --set run.workers=2 --set run.gpus_per_worker=1
#   sbatch --nodes=8 --gpus-per-node=4 --time=2-0 deploy/slurm.sh tune SEARCH
# Submit where `distgan` can be called (`sbatch` hands your environment on), with DISTGAN_HOME and the stores on a file
# system of all nodes. Ten minutes before its time is up, or when it is pre-empted, the run commits a checkpoint and
# ends with 75; the job is then requeued and goes on. To end it for good: scancel.
#SBATCH --job-name=distgan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=1-0
#SBATCH --signal=B:USR1@600
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

: "${DISTGAN_HOME:?export DISTGAN_HOME, a folder that all nodes share, and submit again}"
: "${1:?say what to run: sbatch $0 train RECIPE}"
case $1 in train | tune) set -- "$@" --resume ;; esac # begins what is not there, goes on with what is
SLURM_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}
# This script runs on the first node. Where its first address is not the one the others reach, say which.
head=${DISTGAN_HEAD_ADDRESS:-$(hostname -I | cut -d' ' -f1)}
port=$((20000 + SLURM_JOB_ID % 6000 * 2)) # jobs may share a node; Ray's workers have those below

# A token for this job, known to its owner alone, and never on a command line.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$DISTGAN_HOME/tokens/slurm-$SLURM_JOB_ID RAY_USAGE_STATS_ENABLED=0
unset RAY_AUTH_TOKEN RAY_ADDRESS
(umask 077 && mkdir -p "$DISTGAN_HOME/tokens" && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

# shellcheck disable=SC2329
node() { # what each node runs: Ray, until USR2
    local where=(--address="$1:$2")
    if [ "$SLURM_PROCID" = 0 ]; then
        where=(--head --node-ip-address="$1" --port="$2" --ray-client-server-port=$(($2 + 1)) --include-dashboard=false
            --temp-dir="/tmp/ray-$SLURM_JOB_ID")
    else
        for _ in {1..120}; do # then Ray says that nobody is there
            if (: <"/dev/tcp/$1/$2") 2>/dev/null; then break; fi
            sleep 1
        done
    fi
    # What Slurm tells the whole job, TERM above all, is for the driver: Ray must live until the checkpoint is there.
    exec env --block-signal=TERM --block-signal=USR1 ray start --block "${where[@]}" \
        --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --object-store-memory=200000000
}
# srun does not take --cpus-per-task from sbatch since Slurm 22.05.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" bash -c "$(declare -f node); node $head $port" &
nodes=$!
end_nodes() { kill -USR2 "$nodes" 2>/dev/null && wait "$nodes" || true; }
stop() { wanted=yes interrupted=yes; [ -z "$driver" ] || kill -USR1 "$driver" 2>/dev/null || true; }
wanted='' driver=''
trap stop USR1 TERM

export RAY_ADDRESS=$head:$port
until python - "$SLURM_JOB_NUM_NODES" <<'END'; do
import os, sys, ray
try:
    ray.init(os.environ["RAY_ADDRESS"], logging_level="critical", log_to_driver=False)
except Exception:
    sys.exit(1)
sys.exit(sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]))
END
    if ! kill -0 "$nodes" 2>/dev/null; then
        echo "error: Ray did not start on the nodes; what it said stands above" >&2
        exit 69
    fi
    [ -z "$wanted" ] || break
    sleep 1
done

code=75
if [ -z "$wanted" ]; then
    distgan "$@" &
    driver=$!
    [ -z "$wanted" ] || stop
    # A signal to this script interrupts `wait`, not the driver, whose own status is kept for the next `wait`.
    while code=0 interrupted=''; wait "$driver" || code=$?; [ -n "$interrupted" ]; do :; done
fi
end_nodes

# 75: stopped after a checkpoint. Not RUNNING: cancelled, or pre-empted and requeued by Slurm itself.
if [ "$code" = 75 ] && scontrol show job "$SLURM_JOB_ID" | grep -q 'JobState=RUNNING'; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
