#!/usr/bin/env bash
# Installs what the tests need besides Node.js and npm packages, on Debian 12 or a relative of it: Python with gRPC, for
# the test that a client generated from proto/ in another language works (test/interop); promtool, which checks the text of
# /metrics (test/metrics); what slows a disk down and cuts a network in two (test/process/recovery): strace, ip and nft; and what
# sets the clock of one process, for the chaos runs (jepsen-style): faketime. They also use mkfs.ext4 and nsenter, which Debian has.
set -euo pipefail

packages=(python3 python3-protobuf python3-grpcio python3-grpc-tools prometheus strace iproute2 nftables faketime e2fsprogs util-linux)

as_root=()
if [[ "$(id -u)" -ne 0 ]]; then
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
