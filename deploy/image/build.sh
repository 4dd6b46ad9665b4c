#!/bin/bash
# Inside the stage `build`: compiles the programs of services.txt, and lays out for each a root folder with it, with
# the libraries that it loads, and with their licences and a bill of materials. Folder `symbols` gets what was
# stripped from the programs, found by a debugger by their build ids.
#   build.sh OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=$1
table() { grep -v '^#' deploy/image/services.txt; }

# As `./run` sets them, so that a cache of compiled objects serves both.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=true
cmake --preset release -DSLUICE_TESTS=OFF -DSLUICE_CACHE="$SLUICE_CACHE"
mapfile -t programs < <(table | awk '{print $2}')
cmake --build build/release --parallel "${BUILD_JOBS:-$(nproc)}" --target "${programs[@]}" -- -k 0
version=$(sed -n 's/^project(sluice VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)

# The libraries of a program, and the loader.
libraries() { ldd "$1" | awk '$2=="=>"{print $3} $1 ~ /^\//{print $1}' | sort -u; }

# $1, by the path that the program looks for it under, into root $2.
copy() {
  install -D -m "${3:-0644}" "$(readlink -f "$1")" "$2$1"
}

lay_out() { # IMAGE PROGRAM
  local image=$1 program=$2
  local root="$out/$image" binary library
  binary=$(find build/release/services build/release/demo -type f -name "$program" -perm -u+x)
  mkdir -p "$root/usr/bin" "$root/usr/share/sluice" "$root/etc"
  local id
  id=$(readelf -n "$binary" | awk '/Build ID/{print $3}')
  mkdir -p "$out/symbols/usr/lib/debug/.build-id/${id:0:2}"
  objcopy --only-keep-debug --compress-debug-sections "$binary" \
    "$out/symbols/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
  strip -o "$root/usr/bin/$program" "$binary"
  ln -s "$program" "$root/usr/bin/service"
  libraries "$binary" >"$out/$image.files"
  while read -r library; do copy "$library" "$root" 0755; done <"$out/$image.files"
  copy /etc/ssl/certs/ca-certificates.crt "$root"
  mkdir -p "$root/usr/share/zoneinfo"
  tar -C /usr/share/zoneinfo --exclude=right --exclude=posix -cf - . | tar -C "$root/usr/share/zoneinfo" -xf -
  printf '/etc/ssl/certs/ca-certificates.crt\n/usr/share/zoneinfo/UTC\n' >>"$out/$image.files"
  printf 'sluice:x:65532:65532:sluice:/:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'sluice:x:65532:\n' >"$root/etc/group"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  # The contracts that the shipped pipelines use, and what they import.
  mkdir -p "$root/usr/share/sluice/contracts"
  (cd proto && find policing -name '*.proto' -exec cp --parents {} "$root/usr/share/sluice/contracts" \;)
  python3 deploy/image/bill.py --name "sluice-$image" --version "$version" --files "$out/$image.files" \
    --licence LICENSE --cache "$SLUICE_CACHE" "$root"
  rm "$out/$image.files"
}

while read -r image program; do lay_out "$image" "$program"; done < <(table)
