{{/* What matches the API's targets in a query: two releases may share one Prometheus. */}}
{{- define "desafio.selectorOfTargets" -}}
namespace={{ .Release.Namespace | quote }},job={{ include "desafio.name" (list . "api") | quote }}
{{- end }}

{{/*
files/rules.yaml with its ${names} put in. Not by `tpl`, which would take Prometheus' own {{ … }} for Helm's.
*/}}
{{- define "desafio.rules" -}}
{{- $rules := .Files.Get "files/rules.yaml" -}}
{{- $rules = replace "${selector}" (include "desafio.selectorOfTargets" .) $rules -}}
{{- with .Values.monitoring.prometheusRule -}}
{{- $rules = replace "${runbook}" .runbookUrl $rules -}}
{{- range $name, $threshold := .thresholds -}}
{{- $rules = replace (printf "${%s}" $name) (toString $threshold) $rules -}}
{{- end -}}
{{- end -}}
{{- $rules -}}
{{- end }}
