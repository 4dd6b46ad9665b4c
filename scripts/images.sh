#!/usr/bin/env bash
# The services' images, without a container engine: buildah in chroot isolation, on a Debian that mmdebstrap makes.
# Everything is kept in CACHE/images. Needs root, Debian's archive, and what `./run setup` fetches.
#   images.sh build [13|12]   every image, as localhost/sluice/NAME:debian13 or :debian12
#   images.sh sizes [13|12]   their sizes: NAME MIB, one a line
#   images.sh with COMMAND... runs a command where podman and buildah find them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/versions.sh
source scripts/versions.sh
cache="${SLUICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}"
home="$cache/images"
task=${1:-build}
debian=${2:-13}
say() { printf 'images: %s\n' "$1" >&2; }
names() { grep -v '^#' deploy/image/services.txt | awk '{print $1}'; }

enter() {
  mkdir -p "$home/tmp"
  printf '[storage]\ndriver = "%s"\nrunroot = "%s/run"\ngraphroot = "%s/storage"\n' \
    "$(driver)" "$home" "$home" >"$home/storage.conf"
  export TMPDIR="$home/tmp" CONTAINERS_STORAGE_CONF="$home/storage.conf" BUILDAH_ISOLATION=chroot
}

# Copying every layer whole works everywhere; overlays are quicker where they can be mounted.
driver() {
  local try="$home/tmp/overlay"
  mkdir -p "$try"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null; then
    umount "$try/merged"
    echo overlay
  else
    echo vfs
  fi
  rm -rf "$try"
}

base() { # NAME
  local image="localhost/sluice-base:$1" tar="$home/$1.tar"
  if ! buildah inspect --type image "$image" >/dev/null 2>&1; then
    if [[ ! -e "$tar" ]]; then
      say "making a base of Debian $1"
      mmdebstrap --format=tar --variant=minbase --include=ca-certificates --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' "$1" "$tar.new" 2>"$home/tmp/base.log" ||
        { cat "$home/tmp/base.log" >&2 && exit 1; }
      mv "$tar.new" "$tar"
    fi
    podman import -q "$tar" "$image" >/dev/null 2>"$home/tmp/base.log" ||
      { cat "$home/tmp/base.log" >&2 && say "$tar can't be imported; remove it to make it anew" && exit 1; }
  fi
  echo "$image"
}

build() { # TARGET
  buildah bud --layers --network host --build-context "protovalidate=$cache/protovalidate-$PROTOVALIDATE_VERSION" \
    --build-arg "BASE_IMAGE=$base" --build-arg "CACHE=$cache" --target "$1" -t "localhost/sluice/$1:debian$debian" \
    -v "$ccache:/ccache" -f deploy/image/Dockerfile . >"$home/tmp/build.log" 2>&1 ||
    { tail -n 60 "$home/tmp/build.log" >&2 && say "the image of $1 could not be built" && exit 1; }
}

enter
case "$task" in
  build)
    case "$debian" in
      13) base=$(base trixie) || exit 1 ;;
      12) base=$(base bookworm) || exit 1 ;;
      *) say "Debian is 13 or 12" && exit 2 ;;
    esac
    ccache="${SLUICE_IMAGE_CCACHE:-$home/ccache-$debian}"
    mkdir -p "$ccache"
    for name in $(names) symbols; do
      say "building $name for Debian $debian"
      build "$name"
    done
    ;;
  sizes)
    for name in $(names); do
      bytes=$(podman image inspect --format '{{.Size}}' "localhost/sluice/$name:debian$debian" 2>/dev/null) ||
        { say "there is no image of $name: ./run images" && exit 1; }
      awk -v name="$name" -v bytes="$bytes" 'BEGIN {printf "%s %.1f\n", name, bytes / 1048576}'
    done
    ;;
  with)
    shift
    "$@"
    ;;
  *) say "there is no task $task" && exit 2 ;;
esac
