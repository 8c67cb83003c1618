{{- /* The ports of the container; outside of it nothing else needs to know them. */ -}}
{{- define "headgate.ports" -}}
grpc: 50051
health: 50052
metrics: 9464
{{- if .Values.http }}
http: 8080
{{- end }}
{{- end }}

{{- /* How a proxy may know what is spoken on a port. */ -}}
{{- define "headgate.appProtocol" -}}
{{- if .root.Values.secrets.tls.name -}} https
{{- else if eq .name "http" -}} http
{{- else if eq .root.Values.mesh.kind "istio" -}} grpc
{{- else -}} kubernetes.io/h2c
{{- end -}}
{{- end }}

{{- /* What callers reach. */ -}}
{{- define "headgate.servicePorts" -}}
{{- range $name, $port := include "headgate.ports" . | fromYaml }}
{{- if has $name (list "grpc" "http") }}
- name: {{ $name }}
  port: {{ $port }}
  targetPort: {{ $name }}
  appProtocol: {{ include "headgate.appProtocol" (dict "root" $ "name" $name) }}
{{- end }}
{{- end }}
{{- end }}
