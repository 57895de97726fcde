#!/usr/bin/env bash
# Starts a real S3 server (Ceph's radosgw, in memory) on loopback: start-s3.sh DIRECTORY PORT. The directory is absolute and
# the server's own; nine ports from PORT on are used. Keys: test / testsecret. Answers when it is ready, or fails.
# Debian packages: ceph-mon ceph-osd radosgw ceph-common (--no-install-recommends). stop-s3.sh DIRECTORY ends it.
set -eu
directory=$1
port=$2
mon_port=$((port + 1))
osd_port=$((port + 2))
mkdir -p "$directory"/mon "$directory"/osd "$directory"/rgw
cd "$directory"
fsid=$(cat /proc/sys/kernel/random/uuid)
osd_id=$(cat /proc/sys/kernel/random/uuid)
# Addresses and networks: without them the daemons listen on all interfaces. The two `update on start`: with them the
# first OSD now and then asks a monitor that does not know the cluster yet, and gives up.
cat > ceph.conf <<CONF
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$mon_port
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind port min = $osd_port
ms bind port max = $((osd_port + 6))
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class update on start = false
osd crush update on start = false
osd objectstore = memstore
osd memory target = 1G
osd data = $directory/osd
memstore device bytes = 4G
mon allow pool size one = true
mon max pg per osd = 1000
mon data = $directory/mon
mon data avail warn = 1
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.01
run dir = $directory
admin socket = $directory/\$cluster-\$name.asok
pid file = $directory/\$name.pid
log file = $directory/\$name.log
crash dir = $directory
keyring = $directory/keyring
[mon.a]
mon addr = 127.0.0.1:$mon_port
host = localhost
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw enable usage log = false
rgw data = $directory/rgw
CONF
export CEPH_CONF=$directory/ceph.conf
ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >/dev/null
monmaptool --create --clobber --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$fsid" monmap >/dev/null
ceph-mon --mkfs -i a --monmap monmap --keyring keyring
ceph-mon -i a
timeout 20 ceph osd new "$osd_id" >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$osd_id"
for _ in 1 2 3; do
  ceph-osd -i 0
  sleep 0.3
  [ -f osd.0.pid ] && kill -0 "$(cat osd.0.pid)" 2>/dev/null && break
done
timeout 20 ceph osd crush add osd.0 1 root=default host=localhost
radosgw -n client.rgw
for _ in $(seq 600); do
  if curl -s -o /dev/null "http://127.0.0.1:$port"; then
    timeout 60 radosgw-admin user create --uid=test --display-name=test --access-key=test --secret=testsecret >/dev/null
    exit 0
  fi
  sleep 0.1
done
echo "the server never answered" >&2
exit 1
