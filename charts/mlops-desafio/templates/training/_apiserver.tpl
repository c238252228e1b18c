{{/*
Egress rules for the way to the API server of Kubernetes, as a policy has them; nothing where its
addresses are not known. Whether a network plugin sees the address of the Service `kubernetes` or that
of a server behind it differs, so both are allowed, each with its port.
*/}}
{{- define "desafio.apiServer" -}}
{{- $rules := list -}}
{{- with .Values.training.apiServer -}}
{{- if .cidrs -}}
{{- $rules = list (dict "cidrs" .cidrs "ports" (list 443 (int .port) | uniq)) -}}
{{- else -}}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" -}}
{{- $addresses := list -}}
{{- range $slice.endpoints }}{{ $addresses = concat $addresses .addresses }}{{ end -}}
{{- $service := (lookup "v1" "Service" "default" "kubernetes").spec | default dict -}}
{{- range list (dict "addresses" $addresses "ports" $slice.ports) (dict "addresses" $service.clusterIPs "ports" $service.ports) -}}
{{- $cidrs := list -}}
{{- range .addresses }}{{ $cidrs = append $cidrs (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) }}{{ end -}}
{{- $ports := list -}}
{{- range .ports }}{{ $ports = append $ports (int .port) }}{{ end -}}
{{- if $cidrs }}{{ $rules = append $rules (dict "cidrs" $cidrs "ports" $ports) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $rules }}
- to:
    {{- range .cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}
{{- end }}
