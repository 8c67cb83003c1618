{{- define "headgate.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "headgate" $name) }}{{ $name = printf "%s-headgate" $name }}{{ end -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "headgate.selector" -}}
app.kubernetes.io/name: headgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "headgate.labels" -}}
{{ include "headgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "headgate.head" -}}
metadata:
  name: {{ include "headgate.name" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "headgate.labels" . | nindent 4 }}
{{- end }}

{{- define "headgate.host" -}}
{{ include "headgate.name" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}
