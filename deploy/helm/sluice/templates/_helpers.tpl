{{- define "sluice.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{/* What selects a service's pods. Takes (dict "root" $ "component" "processor" "pipeline" "stops"). */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pipeline }}
sluice/pipeline: {{ . }}
{{- end }}
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sluice
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "sluice.image" -}}
{{ printf "%s/%s:%s" .root.Values.image.repository .component (default .root.Chart.AppVersion .root.Values.image.tag) }}
{{- end }}

{{- define "sluice.tls" -}}{{ ne .Values.certificates.mode "none" }}{{- end }}

{{/* Name of the Secret with a service's certificate. Takes root and component. */}}
{{- define "sluice.certificateSecret" -}}
{{- if eq .root.Values.certificates.mode "existing" -}}
{{ required (printf "certificates.existing.%s: name the Secret with tls.crt, tls.key and ca.crt" .component) (get .root.Values.certificates.existing .component) }}
{{- else -}}
{{ include "sluice.fullname" .root }}-{{ .component }}{{ with .pipeline }}-{{ . }}{{ end }}-tls
{{- end -}}
{{- end }}

{{- define "sluice.serviceHost" -}}
{{ include "sluice.fullname" .root }}-{{ .component }}.{{ .root.Release.Namespace }}.svc
{{- end }}

{{/* Where gRPC listens: without certificates on loopback only, which the services insist on. */}}
{{- define "sluice.listen" -}}
http: "0.0.0.0:9090"
{{- if eq (include "sluice.tls" .) "true" }}
grpc: "0.0.0.0:9443"
tls:
  certificate: /etc/sluice/tls/tls.crt
  private_key: /etc/sluice/tls/tls.key
  client_ca: /etc/sluice/tls/ca.crt
{{- else }}
grpc: "127.0.0.1:9443"
{{- end }}
{{- end }}

{{- define "sluice.remote" -}}
address: "{{ include "sluice.serviceHost" . }}:9443"
tls:
  certificate: /etc/sluice/tls/tls.crt
  private_key: /etc/sluice/tls/tls.key
  client_ca: /etc/sluice/tls/ca.crt
{{- end }}

{{/* Restricted Pod Security. The files' group reads what a Secret's mode 0440 allows. */}}
{{- define "sluice.podSecurity" -}}
{{- $restricted := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $restricted .Values.podSecurityContext) -}}
{{- end }}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* HTTP, not gRPC: kubelet has no client certificate, and gRPC asks everyone for one. Not live: a worker
     that hasn't moved for twice the transaction timeout. */}}
{{- define "sluice.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}

{{- define "sluice.ports" -}}
- {name: http, containerPort: 9090}
- {name: grpc, containerPort: 9443}
{{- end }}

{{- define "sluice.placement" -}}
topologySpreadConstraints:
{{- range .root.Values.topologySpread.keys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "sluice.selector" $ | nindent 8 }}
{{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 10
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "sluice.selector" . | nindent 14 }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sluice.annotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9090"
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A stop commits what is open: at most one transaction under way and one attempt at it again. */}}
{{- define "sluice.drainMs" -}}{{ add (mul 2 (int .Values.kafka.transactionTimeoutMs)) 1000 }}{{- end }}
{{- define "sluice.preStopSeconds" -}}2{{- end }}
{{/* preStop, the drain, the two seconds after which the process leaves as it is, and three to spare. */}}
{{- define "sluice.graceSeconds" -}}
{{ add (include "sluice.preStopSeconds" . | int) (div (add (include "sluice.drainMs" . | int) 999) 1000) 5 }}
{{- end }}

{{- define "sluice.kafkaUser" -}}{{ include "sluice.fullname" .root }}-processor-{{ .pipeline }}{{- end }}
{{- define "sluice.group" -}}
{{ default (printf "%s-%s" (include "sluice.fullname" .root) .pipeline) (get (get .root.Values.pipelines .pipeline) "group") }}
{{- end }}

{{/* The Secrets that reach the brokers: "" where the image's own authorities serve. */}}
{{- define "sluice.kafkaAuthority" -}}
{{- if .Values.kafka.tls.secretName }}{{ .Values.kafka.tls.secretName }}
{{- else if .Values.strimzi.enabled }}{{ .Values.strimzi.cluster }}-cluster-ca-cert{{ end -}}
{{- end }}
{{- define "sluice.kafkaPassword" -}}
{{- if .root.Values.kafka.sasl.secretName }}{{ .root.Values.kafka.sasl.secretName }}
{{- else if .root.Values.strimzi.enabled }}{{ include "sluice.kafkaUser" . }}
{{- else }}{{ fail "kafka.sasl.secretName: name the Secret with the SASL password, or set strimzi.enabled" }}{{ end -}}
{{- end }}
{{- define "sluice.kafkaCertificate" -}}
{{- if .root.Values.kafka.tls.clientSecretName }}{{ .root.Values.kafka.tls.clientSecretName }}
{{- else if .root.Values.strimzi.enabled }}{{ include "sluice.kafkaUser" . }}
{{- else }}{{ fail "kafka.tls.clientSecretName: name the Secret with the client certificate, or set strimzi.enabled" }}{{ end -}}
{{- end }}

{{/* kafka.security of a processor's configuration. */}}
{{- define "sluice.kafkaSecurity" -}}
{{- $kafka := .root.Values.kafka -}}
{{- if ne $kafka.security "plaintext" }}
tls:
{{- if include "sluice.kafkaAuthority" .root }}
  ca: /etc/sluice/kafka-ca/{{ $kafka.tls.secretKey }}
{{- else if ne $kafka.security "ssl" }} {}
{{- end }}
{{- if eq $kafka.security "ssl" }}
{{- $stem := ternary "user" "tls" (empty $kafka.tls.clientSecretName) }}
  certificate: /etc/sluice/kafka-client/{{ $stem }}.crt
  private_key: /etc/sluice/kafka-client/{{ $stem }}.key
{{- end }}
{{- end }}
{{- if eq $kafka.security "sasl_ssl" }}
sasl:
  mechanism: {{ $kafka.sasl.mechanism | lower | replace "-" "_" }}
  username: {{ default (include "sluice.kafkaUser" .) $kafka.sasl.username }}
  password: /etc/sluice/kafka-sasl/{{ $kafka.sasl.secretKey }}
{{- end }}
{{- end }}

{{/* What a PersistentVolumeClaim asks for: accessModes, storageClassName, size. */}}
{{- define "sluice.claim" -}}
accessModes: {{ toJson .accessModes }}
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources: {requests: {storage: {{ .size }}}}
{{- end }}

{{/* Volumes of a Secret or ConfigMap: (list (dict "name" .. "secret" .. "path" ..)). Mode 0440: the keyring's own rule. */}}
{{- define "sluice.volumes" -}}
{{- range . }}
- name: {{ .name }}
  {{- if .secret }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
  {{- else }}
  configMap: {name: {{ .configMap }}{{ with .items }}, items: {{ toJson . }}{{ end }}}
  {{- end }}
{{- end }}
{{- end }}
{{- define "sluice.mounts" -}}
{{- range . }}
- {name: {{ .name }}, mountPath: {{ .path }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The configuration of one pipeline's processor. */}}
{{- define "sluice.processorConfig" -}}
{{- $values := .root.Values -}}
{{- $own := get $values.pipelines .pipeline -}}
{{- $pipeline := deepCopy (required (printf "pipelines.%s.pipeline: write the pipeline" .pipeline) $own.pipeline) -}}
{{- $_ := set $pipeline.quarantine "public_key" "quarantine.pub" -}}
{{- if not $pipeline.name }}{{ $_ := set $pipeline "name" .pipeline }}{{ end -}}
{{- $contracts := list -}}
{{- if $values.contracts.shipped }}{{ $contracts = append $contracts "/usr/share/sluice/contracts" }}{{ end -}}
{{- if $values.contracts.files }}{{ $contracts = append $contracts "/etc/sluice/contracts" }}{{ end -}}
{{- $kafka := dict "brokers" $values.kafka.brokers "group" (include "sluice.group" .) "session_timeout_ms" (int $values.kafka.sessionTimeoutMs) "transaction_timeout_ms" (int $values.kafka.transactionTimeoutMs) "membership" (ternary "static" "dynamic" (eq $values.processor.kind "statefulset")) -}}
{{- with $values.kafka.properties }}{{ $_ := set $kafka "properties" . }}{{ end -}}
{{- with include "sluice.kafkaSecurity" . | fromYaml }}{{ $_ := set $kafka "security" . }}{{ end -}}
{{- $listen := include "sluice.listen" .root | fromYaml -}}
{{- if and (eq (include "sluice.tls" .root) "true") $values.certificates.operators }}{{ $_ := set $listen "callers" $values.certificates.operators }}{{ end -}}
{{- $config := dict "kafka" $kafka "contracts" $contracts "pipeline" $pipeline "listen" $listen "workers" (int (default $values.processor.workers $own.workers)) "drain_timeout_ms" (include "sluice.drainMs" .root | int) "deaths_folder" "/var/lib/sluice-deaths" -}}
{{- if $values.pseudonymiser.enabled -}}
{{- $_ := set $config "pseudonymiser" (dict "remote" (include "sluice.remote" (dict "root" .root "component" "pseudonymiser") | fromYaml)) -}}
{{- else -}}
{{- $_ := set $config "pseudonymiser" (dict "local" (dict "keyring" "/etc/sluice/keys/keyring" "key_encryption_key" "/etc/sluice/keys/kek")) -}}
{{- end -}}
{{- $named := include "sluice.pipelineSets" . | fromYamlArray -}}
{{- if and $values.reference.enabled $named -}}
{{- $remote := include "sluice.remote" (dict "root" .root "component" "reference") | fromYaml -}}
{{- $_ := set $config "reference" (dict "remote" (set $remote "sets" $named)) -}}
{{- end -}}
{{- $whole := mergeOverwrite $config (deepCopy $values.processor.config) (deepCopy (default dict $own.config)) -}}
{{- with $whole.reference -}}
{{- /* Where versions are kept, which all but sets in memory of files need. */ -}}
{{- if not .folder }}{{ $_ := set . "folder" "/var/lib/sluice/reference" }}{{ end -}}
{{- end -}}
{{- toYaml $whole -}}
{{- end }}

{{/* Like the processor's configuration for the other two services: what the chart sets stands above values. */}}
{{- define "sluice.serviceConfig" -}}
{{- $config := deepCopy (get .root.Values .component).config -}}
{{- $_ := set $config "listen" (mergeOverwrite (deepCopy (default dict $config.listen)) (include "sluice.listen" .root | fromYaml)) -}}
{{- if eq .component "pseudonymiser" -}}
{{- $_ := set $config "keyring" (ternary "/var/lib/sluice-keyring/keyring" "/etc/sluice/keys/keyring" (eq .root.Values.pseudonymiser.keyring.from "volume")) -}}
{{- $_ := set $config "key_encryption_key" "/etc/sluice/keys/kek" -}}
{{- $_ := set $config "policy" "policy.yaml" -}}
{{- if not $config.audit }}{{ $_ := set $config "audit" dict }}{{ end -}}
{{- if not (or $config.audit.topic .root.Values.pseudonymiser.persistence.enabled) }}{{ fail "pseudonymiser.config.audit.topic: name brokers and topic, or set pseudonymiser.persistence.enabled; the file of a pod goes with the pod" }}{{ end -}}
{{- $_ := set $config.audit "file" "/var/lib/sluice/audit.trail" -}}
{{- if .root.Values.pseudonymiser.stateClaimName }}{{ $_ := set $config "state" "/var/lib/sluice-shared/authority" }}{{ else }}{{ $_ := unset $config "state" }}{{ end -}}
{{- else -}}
{{- $_ := set $config "folder" "/var/lib/sluice/sets" -}}
{{- $_ := set $config "trail" "/var/lib/sluice/audit.trail" -}}
{{- if not $config.sets }}{{ fail "reference.config.sets: name the reference sets" }}{{ end -}}
{{- $access := list -}}
{{- range $pipeline, $_ := .root.Values.pipelines -}}
{{- $at := dict "root" $.root "pipeline" $pipeline -}}
{{- $sets := include "sluice.pipelineSets" $at | fromYamlArray -}}
{{- $caller := include "sluice.processorCaller" $at -}}
{{- if and $caller $sets }}{{ $access = append $access (dict "caller" $caller "may" (list "read") "sets" $sets) }}{{ end -}}
{{- end -}}
{{- $_ := set $config "access" (concat $access (default list $config.access)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* Of the reference service's sets those that a pipeline names, as a join's set or within a treatment. Takes root and pipeline. */}}
{{- define "sluice.pipelineSets" -}}
{{- $named := list -}}
{{- $text := omit (get .root.Values.pipelines .pipeline).pipeline "quarantine" | toJson -}}
{{- range (default list .root.Values.reference.config.sets) }}{{ if contains (printf "\"%s\"" .name) $text }}{{ $named = append $named .name }}{{ end }}{{ end -}}
{{- toYaml $named -}}
{{- end }}

{{/* The name that a pipeline's processors are known by; "" where their certificate is somebody else's. Takes root and pipeline. */}}
{{- define "sluice.processorCaller" -}}
{{- if eq .root.Values.certificates.mode "certManager" }}{{ include "sluice.serviceHost" (dict "root" .root "component" (printf "processor-%s" .pipeline)) }}{{ end -}}
{{- end }}

{{/* The pseudonymiser's policy: what each pipeline asks for, of its own domains, then what values add. */}}
{{- define "sluice.policy" -}}
{{- $policy := deepCopy .Values.pseudonymiser.policy -}}
{{- $callers := list -}}
{{- range $pipeline, $own := .Values.pipelines -}}
{{- $caller := include "sluice.processorCaller" (dict "root" $ "pipeline" $pipeline) -}}
{{- $domains := list -}}
{{- range (default list $own.pipeline.streams) }}{{ with .domain }}{{ $domains = append $domains (first (splitList "@" .)) }}{{ end }}{{ end -}}
{{- if and $caller $domains -}}
{{- $text := $own.pipeline.streams | toJson -}}
{{- $calls := list "pseudonymise" -}}
{{- range $call := list "encrypt" "format_preserve" }}{{ if contains (printf "\"%s\"" $call) $text }}{{ $calls = append $calls $call }}{{ end }}{{ end -}}
{{- $may := dict "calls" $calls "domains" ($domains | uniq | sortAlpha) -}}
{{- $callers = append $callers (dict "caller" $caller "may" (list $may) "limits" (dict "bulk" true)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $policy "callers" (concat $callers (default list $policy.callers)) -}}
{{- toYaml $policy -}}
{{- end }}
