#!/usr/bin/env bash
# A full round trip as somebody would type it: round-trip.sh <main.js> <database with the tables words and docs>
set -euo pipefail
main=$1 database=$2
cd "$(dirname "$database")"
lancedb-backup() { node "$main" "$@" --quiet; }
fails_with() { # <code> <command...>
  local expected=$1 code=0
  shift
  "$@" >last.txt 2>&1 || code=$?
  if [ "$code" -ne "$expected" ]; then
    echo "exit code $code instead of $expected: $*"
    cat last.txt
    exit 1
  fi
}
# Lance's hints and logs, which no reader needs, are not in a snapshot.
same() { diff -r -x _transactions -x latest_version_hint.json -x .lancedb-backup "$1" "$2"; }
flip() { # a byte in the middle of a file
  local at=$(($(stat -c %s "$1") / 2)) byte
  byte=$(dd if="$1" bs=1 skip="$at" count=1 status=none | od -An -tu1 | tr -d ' ')
  chmod u+w "$1"
  printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

export LANCEDB_BACKUP_REPO=./trip-vault
lancedb-backup init "$LANCEDB_BACKUP_REPO"
lancedb-backup backup "$database" --name first
lancedb-backup verify
cp -r "$database" original

lancedb-backup restore first restored
same original restored

# Bit rot in the live database: found, mended, and gone.
victim=$(ls "$database"/words.lance/data/*.lance | head -1)
flip "$victim"
fails_with 3 lancedb-backup scrub "$database"
lancedb-backup scrub "$database" --heal --yes
lancedb-backup scrub "$database"
same original "$database"

# A table that is lost comes back in place.
rm -r "$database/docs.lance"
lancedb-backup restore first "$database" --in-place --yes
lancedb-backup doctor "$database"
fails_with 2 lancedb-backup delete first

# Bit rot in the repository: found. A new backup cannot mend what is gone from the source, but this is not.
blob=$(ls "$LANCEDB_BACKUP_REPO"/blobs/*/* | head -1)
flip "$blob"
fails_with 3 lancedb-backup verify
fails_with 1 lancedb-backup restore first elsewhere
test ! -e elsewhere

lancedb-backup delete first --yes
lancedb-backup prune --grace-hours 0 --yes
test -z "$(lancedb-backup list --ids)"
test -z "$(find "$LANCEDB_BACKUP_REPO/blobs" -type f)"
echo "round trip: done"
