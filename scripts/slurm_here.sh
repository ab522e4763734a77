#!/usr/bin/env bash
# A SLURM of this machine alone, in a folder of its own, for tests: scripts/slurm_here.sh start|stop FOLDER
#
# It needs Debian's packages slurm-wlm and munge, and uses none of the system's settings: export SLURM_CONF=FOLDER/slurm.conf
# to speak to it. Root and others may start it; jobs run as who started it.
set -euo pipefail
action=${1:?start or stop} folder=$(mkdir -p "${2:?a folder}" && cd "$2" && pwd)
export PATH=$PATH:/usr/sbin SLURM_CONF=$folder/slurm.conf

stop() {
    for daemon in slurmd slurmctld munged; do
        if [ -s "$folder/$daemon.pid" ]; then kill "$(cat "$folder/$daemon.pid")" 2>/dev/null || true; fi
    done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

if [ "$action" = stop ]; then
    stop
    exit
fi
chmod 755 "$folder"
mkdir -p -m 755 "$folder/state" "$folder/spool"
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2>/dev/null
chmod 600 "$folder/munge.key"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
cat >"$SLURM_CONF" <<CONF
ClusterName=here
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
$(slurmd -C | grep -o 'CPUs=.*RealMemory=[0-9]*' | sed "s/^/NodeName=$(hostname -s) NodeAddr=127.0.0.1 /")
PartitionName=here Nodes=ALL Default=YES MaxTime=01:00:00 State=UP
CONF
slurmctld
slurmd
for _ in $(seq 100); do
    if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then exit 0; fi
    sleep 0.1
done
cat "$folder"/*.log >&2
stop
echo "the node did not become idle in ten seconds" >&2
exit 1
