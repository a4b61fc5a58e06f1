#!/bin/bash
# Packs a folder, with a savepoint before the archive is handed over:
#
#     snapctl run --name backup -- bash examples/backup.sh /etc/ssl/certs
#     snapctl load backup --name packed   # hands it over again, without packing
set -euo pipefail

tar -C / -czf /work/backup.tar.gz "${1#/}"
flowcall log "packed $1"
flowcall savepoint packed

times=$(flowcall restored || true)
flowcall set-output sha256 "$(sha256sum /work/backup.tar.gz | cut -c1-64)"
flowcall success "handed over${times:+, after $times loads}"
