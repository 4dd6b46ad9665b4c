#!/usr/bin/env bash
# Installs what building and testing needs: Debian packages, and into the cache folder librdkafka, Kafka's jars,
# protovalidate's rules, Prometheus and what dashboards are generated with. Each step is skipped where its result is there; an interrupted step leaves none.
#   --verbose  say also what is there already      --lint  with the formatter and the linter
#   --dashboards  with the browser that draws pictures of dashboards
#   --deploy   with what tests/deploy checks the chart with
#   --images   with what builds and runs images
#   --peers    with what a benchmark shows beside: PostGIS
#   --image    only what compiling the services needs: inside an image that is being built
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/versions.sh
source scripts/versions.sh
cache="${SLUICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}"

packages=(g++ cmake ninja-build ccache pkg-config protobuf-compiler protobuf-compiler-grpc
  libprotobuf-dev libprotoc-dev libgrpc++-dev libabsl-dev prometheus-cpp-dev libcivetweb-dev
  libsimdjson-dev libre2-dev libssl-dev libyaml-cpp-dev libcli11-dev libutf8proc-dev libjemalloc-dev
  libgeos-dev liblmdb-dev libpq-dev libpqxx-dev tzdata)
librdkafka_packages=(libzstd-dev liblz4-dev libsasl2-dev zlib1g-dev libcurl4-openssl-dev dpkg-dev make)
test_packages=(git libgtest-dev libgmock-dev libbenchmark-dev postgresql unzip openjdk-17-jre-headless maven zsh fish
  python3-jsonschema python3-venv)
verbose=
deploy=
image=
for argument in "$@"; do
  case "$argument" in
    --verbose) verbose=yes ;;
    --dashboards) packages+=(chromium fonts-dejavu-core) ;;
    --deploy)
      deploy=yes
      command -v go >/dev/null || packages+=(golang-go)
      ;;
    --image)
      image=yes
      packages+=(ca-certificates python3)
      ;;
    --peers) packages+=(postgresql-postgis) ;;
    --images) packages+=(buildah podman runc mmdebstrap) ;;
    --fuzz) packages+=(clang-16 libclang-rt-16-dev) ;;
    --lint) packages+=(clang-format-16 clang-tidy-16) ;;
    *) echo "setup: unknown argument $argument" >&2 && exit 2 ;;
  esac
done

say() { printf 'setup: %s\n' "$1" >&2; }
there() { [[ -z "$verbose" ]] || say "$1 is there"; }
fail() { say "$1" && exit 1; }

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "root is needed to install: ${missing[*]}. Install them, then run this again."
  fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

install_packages() {
  missing=()
  local package
  local installed
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null | awk '$2=="installed"{print $1}')
  for package in "${packages[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
  done
  if [[ ${#missing[@]} == 0 ]]; then
    there "every Debian package"
    return
  fi
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >"$scratch/apt.log" 2>&1 || { cat "$scratch/apt.log" >&2 && fail "apt-get could not install them"; }
}

# The uri of the Debian archive that this machine itself uses.
debian_archive() {
  awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep . ||
    awk '$1=="deb"{for (i=2; i<=NF; i++) if ($i ~ /^http/) {print $i; exit}}' /etc/apt/sources.list
}

# With POSIX threads: ThreadSanitizer doesn't see those that C11's thrd_create starts, and crashes in them.
build_librdkafka() {
  if pkg-config --atleast-version=$LIBRDKAFKA_VERSION rdkafka 2>/dev/null; then
    there "the system's librdkafka"
    return
  fi
  local prefix="$cache/librdkafka-$LIBRDKAFKA_VERSION-pthread"
  if [[ -e "$prefix/lib/librdkafka-static.a" ]]; then
    there "librdkafka $LIBRDKAFKA_VERSION"
    return
  fi
  say "fetching and building librdkafka $LIBRDKAFKA_VERSION (about a minute)"
  local work="$scratch/librdkafka"
  mkdir -p "$work"/{lists/partial,archives/partial,src}
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_archive) trixie main" \
    >"$work/trixie.list"
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/trixie.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User="$(id -un)")
  (cd "$work" && "${apt[@]}" update && "${apt[@]}" source --download-only librdkafka) >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && fail "librdkafka's source could not be fetched"; }
  local tarball="$work/librdkafka_$LIBRDKAFKA_VERSION.orig.tar.gz"
  echo "$LIBRDKAFKA_SHA256  $tarball" | sha256sum --check --quiet || fail "librdkafka's source has another hash"
  tar xf "$tarball" -C "$work/src" --strip-components 1
  (cd "$work/src" && ./configure --prefix="$prefix" --disable-debug-symbols --disable-c11threads && make -j"$(nproc)" libs &&
    make -C src install DESTDIR="$work/root") >"$work/log" 2>&1 ||
    { tail -n 40 "$work/log" >&2 && fail "librdkafka could not be built"; }
  install -D -m 0644 "$work/src/LICENSES.txt" "$work/root$prefix/share/doc/librdkafka/LICENSES.txt"
  mkdir -p "$cache"
  mv "$work/root$prefix" "$cache/.librdkafka.new" && mv "$cache/.librdkafka.new" "$prefix"
}

fetch_kafka() {
  local folder="$cache/kafka-$KAFKA_VERSION"
  if [[ -d "$folder/libs" ]]; then
    there "Kafka $KAFKA_VERSION"
    return
  fi
  say "fetching Kafka $KAFKA_VERSION"
  local work="$scratch/kafka"
  mkdir -p "$work"
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$SLF4J_VERSION</version></dependency>
  </dependencies>
</project>
POM
  (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs) >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && fail "Kafka could not be fetched"; }
  mkdir -p "$folder"
  mv "$work/libs" "$cache/.kafka.new" && mv "$cache/.kafka.new" "$folder/libs"
}

fetch_protovalidate() {
  local folder="$cache/protovalidate-$PROTOVALIDATE_VERSION"
  if [[ -d "$folder/proto" ]]; then
    there "protovalidate $PROTOVALIDATE_VERSION"
    return
  fi
  say "fetching protovalidate $PROTOVALIDATE_VERSION"
  local work="$scratch/protovalidate"
  mkdir -p "$work/proto"
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact=build.buf:protovalidate:$PROTOVALIDATE_VERSION -DoutputDirectory="$work" >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && fail "protovalidate could not be fetched"; }
  unzip -q "$work/protovalidate-$PROTOVALIDATE_VERSION.jar" buf/validate/validate.proto -d "$work/proto"
  echo "$PROTOVALIDATE_SHA256  $work/proto/buf/validate/validate.proto" | sha256sum --check --quiet ||
    fail "protovalidate's rules have another hash"
  mkdir -p "$folder"
  mv "$work/proto" "$cache/.protovalidate.new" && mv "$cache/.protovalidate.new" "$folder/proto"
}

# Not installed as a package: that would start it, on every address.
fetch_prometheus() {
  local folder="$cache/prometheus"
  if [[ -x "$folder/bin/promtool" ]]; then
    there "Prometheus"
    return
  fi
  say "fetching Prometheus"
  local work="$scratch/prometheus"
  mkdir -p "$work"
  (cd "$work" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download prometheus && dpkg -x prometheus_*.deb root) \
    >"$work/log" 2>&1 || { cat "$work/log" >&2 && fail "Prometheus could not be fetched"; }
  mkdir -p "$folder"
  mv "$work/root/usr/bin" "$cache/.prometheus.new" && mv "$cache/.prometheus.new" "$folder/bin"
}

# In place, because an environment can't be moved; the list that it was made from is its mark.
# make_environment NAME WHAT: a Python environment of its own, of scripts/NAME-requirements.txt.
make_environment() {
  local name="$1" what="$2"
  local folder="$cache/$name" list="scripts/$name-requirements.txt"
  if cmp -s "$list" "$folder/requirements.txt"; then
    there "the environment for $what"
    return
  fi
  say "fetching the environment for $what"
  rm -rf "$folder"
  mkdir -p "$cache"
  { python3 -m venv "$folder" && "$folder/bin/python" -m pip install -q --disable-pip-version-check -r "$list"; } \
    >"$scratch/$name.log" 2>&1 || { cat "$scratch/$name.log" >&2 && fail "it could not be fetched"; }
  cp "$list" "$folder/requirements.txt"
}

# Debian 13 has a librdkafka that serves.
if [[ -n "$image" ]]; then
  as_root apt-get update -qq
  if [[ "$(apt-cache policy librdkafka-dev | awk '/Candidate:/{print $2}')" == 2.[89].* ]]; then
    packages+=(librdkafka-dev)
  else
    packages+=("${librdkafka_packages[@]}")
  fi
  install_packages
  build_librdkafka
  exit 0
fi
packages+=("${librdkafka_packages[@]}" "${test_packages[@]}")
install_packages
build_librdkafka
fetch_kafka
fetch_protovalidate
fetch_prometheus
make_environment observe dashboards
make_environment oracles "judging treatments"
make_environment faults "judging faults"
[[ -z "$deploy" ]] || scripts/deploy_tools.sh >/dev/null
