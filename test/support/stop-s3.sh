#!/usr/bin/env bash
# Ends what start-s3.sh began in a directory. Everything is in memory, so nothing is worth a clean end.
directory=$1
ids=$(cat "$directory"/client.rgw.pid "$directory"/osd.0.pid "$directory"/mon.a.pid 2>/dev/null)
for id in $ids; do
  case $(cat "/proc/$id/comm" 2>/dev/null) in ceph-* | radosgw) kill -9 "$id" ;; esac
done
for id in $ids; do
  while kill -0 "$id" 2>/dev/null; do sleep 0.02; done
done
