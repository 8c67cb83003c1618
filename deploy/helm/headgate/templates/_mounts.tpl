{{- /* Folder and name of each Secret that is mounted. */ -}}
{{- define "headgate.mounts" -}}
{{- $secrets := .Values.secrets -}}
{{- $folders := dict "api-key" $secrets.apiKey "store-password" $secrets.storePassword "store-ca" $secrets.storeCa "tokens" $secrets.tokens "tls" $secrets.tls -}}
{{- range $folder, $secret := $folders }}
{{- if $secret.name }}
{{ $folder }}: {{ $secret.name }}
{{- end }}
{{- end }}
{{- end }}
