#!/usr/bin/env bash
# Installs what `npm run bench` needs besides Node.js and npm packages, on Debian 12 or a relative of it: the load generator h2load, and
# for failover network namespaces. For --peer etcd: where Go is present the newest etcd that its module proxy gives, built in a folder of
# its own and put where /usr/local/bin or ETCD_BIN says; else Debian's.
set -euo pipefail

as_root=()
if [[ "$(id -u)" -ne 0 ]]; then
  as_root=(sudo)
fi
install_packages() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# etcd's own module names siblings in its repository, so that `go install` refuses it: a module that only calls it is built instead.
build_etcd() {
  local folder="$1"
  mkdir --parents "$folder"
  cat >"$folder/main.go" <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
  (cd "$folder" && go mod init quorate-bench-etcd && go get go.etcd.io/etcd/server/v3@latest && go mod tidy && go build -o etcd .)
}

"${as_root[@]}" apt-get update
install_packages nghttp2-client iproute2 nftables
if command -v go >/dev/null; then
  folder="$(mktemp --directory)"
  # The module cache is read-only; this folder is not in it.
  trap 'rm --recursive --force "$folder"' EXIT
  if build_etcd "$folder"; then
    "${as_root[@]}" install --mode 0755 "$folder/etcd" "${ETCD_BIN:-/usr/local/bin}/etcd"
    exit 0
  fi
  echo "etcd could not be built with Go; Debian's is installed instead" >&2
fi
install_packages etcd-server
