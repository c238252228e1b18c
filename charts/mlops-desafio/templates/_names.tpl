{{/* Every name and label of the chart. Nothing else makes one. */}}

{{/*
The name of a part's resources: <release>-<part>. Call it with (list . "api"). The release is cut so
that the part, a StatefulSet's ordinal and a pod's hash still fit into the 63 characters of a DNS label.
*/}}
{{- define "desafio.name" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $base := default $root.Release.Name $root.Values.nameOverride -}}
{{- printf "%s-%s" ($base | trunc (int (sub 52 (len $part))) | trimSuffix "-") $part -}}
{{- end }}

{{/* What selects a part's pods, and never changes. Call it with (list . "api"). */}}
{{- define "desafio.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The labels of a part's resources. Call it with (list . "api"). */}}
{{- define "desafio.labels" -}}
{{- $root := index . 0 -}}
{{ include "desafio.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ $root.Chart.Name }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
An image's reference, by digest where one is given. Call it with (list . .Values.postgres.image).
A registry override takes the place of whatever registry the repository names.
*/}}
{{- define "desafio.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $root.Values.imageRegistry -}}
{{- $first := index (splitList "/" $repository) 0 -}}
{{- if and (contains "/" $repository) (regexMatch "[.:]" $first) -}}
{{- $repository = trimPrefix (printf "%s/" $first) $repository -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end }}
