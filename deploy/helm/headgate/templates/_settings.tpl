{{- /* A map as TOML: JSON's scalars and lists are TOML's, and each map becomes a table. */ -}}
{{- define "headgate.toml" -}}
{{- range $key, $value := .map }}
{{- if not (kindIs "map" $value) }}
{{- if kindIs "invalid" $value }}{{ fail (printf "settings: %s has no value; take it out" $key) }}{{ end }}
{{ include "headgate.key" $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .map }}
{{- if kindIs "map" $value }}
{{- $path := append $.path (include "headgate.key" $key) }}

[{{ join "." $path }}]
{{- include "headgate.toml" (dict "map" $value "path" $path) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "headgate.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{- /* Where each secret is in the container. */ -}}
{{- define "headgate.secretFolder" -}}
/run/secrets/headgate/{{ . }}
{{- end }}

{{- /* What the chart itself sets, as YAML. */ -}}
{{- define "headgate.own" -}}
{{- $secrets := .Values.secrets -}}
listen: 0.0.0.0:50051
{{- if .Values.http }}
http_listen: 0.0.0.0:8080
{{- end }}
metrics:
  listen: 0.0.0.0:9464
server:
  health_listen: 0.0.0.0:50052
{{- if $secrets.apiKey.name }}
upstream:
  api_key_file: {{ include "headgate.secretFolder" "api-key" }}/{{ $secrets.apiKey.key }}
{{- end }}
{{- if include "headgate.shared" . }}
throttle:
  replicas: {{ include "headgate.replicas" . }}
  {{- if $secrets.storePassword.name }}
  store_password_file: {{ include "headgate.secretFolder" "store-password" }}/{{ $secrets.storePassword.key }}
  {{- end }}
  {{- if $secrets.storeCa.name }}
  store_ca_file: {{ include "headgate.secretFolder" "store-ca" }}/{{ $secrets.storeCa.key }}
  {{- end }}
{{- end }}
{{- if $secrets.tokens.name }}
auth:
  tokens_file: {{ include "headgate.secretFolder" "tokens" }}/{{ $secrets.tokens.key }}
{{- end }}
{{- if $secrets.tls.name }}
tls:
  cert_file: {{ include "headgate.secretFolder" "tls" }}/tls.crt
  key_file: {{ include "headgate.secretFolder" "tls" }}/tls.key
  {{- if $secrets.tls.clientCa }}
  client_ca_file: {{ include "headgate.secretFolder" "tls" }}/{{ $secrets.tls.clientCa }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* The settings file. */ -}}
{{- define "headgate.file" -}}
{{- $own := include "headgate.own" . | fromYaml -}}
{{- include "headgate.refuseClashes" (dict "own" $own "given" .Values.settings "path" "settings") -}}
{{- include "headgate.toml" (dict "map" (mergeOverwrite (deepCopy .Values.settings) $own) "path" list) | trim -}}
{{- end }}

{{- define "headgate.refuseClashes" -}}
{{- range $key, $value := .own }}
{{- if hasKey $.given $key }}
{{- $path := printf "%s.%s" $.path $key }}
{{- if kindIs "map" $value }}
{{- include "headgate.refuseClashes" (dict "own" $value "given" (get $.given $key) "path" $path) }}
{{- else }}
{{- fail (printf "%s must not be set: the chart sets it, to %v" $path $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Not empty: replicas keep one schedule. */ -}}
{{- define "headgate.shared" -}}
{{- $store := dig "throttle" "store" "memory" .Values.settings -}}
{{- if ne $store "memory" }}yes{{ end -}}
{{- end }}

{{- /* Not empty: the upstream has a pace, which is the sum over all replicas. */ -}}
{{- define "headgate.paced" -}}
{{- $published := eq (dig "profile" "published" .Values.settings) "published" -}}
{{- $rate := dig "throttle" "rate" (ternary "2" "inf" $published) .Values.settings -}}
{{- $gap := dig "throttle" "min_interval" (ternary 0.5 0.0 $published) .Values.settings -}}
{{- if or (ne (toString $rate) "inf") (gt (float64 $gap) 0.0) }}yes{{ end -}}
{{- end }}

{{- /* The smallest number of replicas that may run. */ -}}
{{- define "headgate.replicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.replicas }}{{ end -}}
{{- end }}

{{- /* The longest that a stop may take, and ten seconds for what nobody foresaw. */ -}}
{{- define "headgate.gracePeriod" -}}
{{- $server := .Values.settings.server | default dict -}}
{{- if eq (toString $server.grace) "inf" }}{{ fail "settings.server.grace must be a number of seconds: Kubernetes ends every pod some time" }}{{ end -}}
{{- add (ceil (float64 (default 0 $server.drain_delay))) (ceil (float64 $server.grace)) 10 -}}
{{- end }}

{{- /* What must not be rendered at all. */ -}}
{{- define "headgate.check" -}}
{{- if not (dig "upstream" "url" "" .Values.settings) }}
{{- fail "settings.upstream.url is not set: the full URL of the upstream's chat endpoint" }}
{{- end }}
{{- $most := ternary .Values.autoscaling.maxReplicas .Values.replicas .Values.autoscaling.enabled }}
{{- if and (gt (int $most) 1) (include "headgate.paced" .) (not (include "headgate.shared" .)) }}
{{- fail (printf "%d replicas would each keep the pace by themselves, so the upstream would see %d times of it: set settings.throttle.store to redis://..., or a profile without a pace" (int $most) (int $most)) }}
{{- end }}
{{- if and (eq .Values.mesh.kind "linkerd") (dig "callers" "trusted_peers" list .Values.settings) }}
{{- fail "settings.callers.trusted_peers must be empty in Linkerd: its proxy passes on whatever name a caller gives itself" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpu) (not .Values.autoscaling.queueWait) }}
{{- fail "autoscaling needs autoscaling.cpu or autoscaling.queueWait" }}
{{- end }}
{{- end }}
