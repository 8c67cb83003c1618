{{- /* What the mesh has to know of the pod. */ -}}
{{- define "headgate.meshAnnotations" -}}
{{- if eq .Values.mesh.kind "istio" }}
# The gateway starts when the sidecar can reach others; the sidecar ends after the last stream.
proxy.istio.io/config: |
  holdApplicationUntilProxyStarts: true
  proxyMetadata:
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"
{{- else if eq .Values.mesh.kind "linkerd" }}
linkerd.io/inject: enabled
# A native sidecar ends after the gateway, never before.
config.beta.linkerd.io/proxy-enable-native-sidecar: "true"
# The kubelet is in no mesh.
config.linkerd.io/skip-inbound-ports: "50052"
{{- end }}
{{- end }}
