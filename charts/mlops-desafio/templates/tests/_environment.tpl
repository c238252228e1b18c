{{/* The variables of a test's pod: what its script asks. Call it with (list . "ready"). */}}
{{- define "desafio.testEnvironment" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if eq $name "minio" -}}
- {name: S3, value: http://{{ include "desafio.name" (list $root "minio") }}:9000}
- {name: BUCKET, value: {{ $root.Values.minio.bucket }}}
- {name: AWS_DEFAULT_REGION, value: {{ $root.Values.minio.region }}}
{{ include "desafio.s3Keys" $root }}
{{- else if eq $name "postgres" -}}
- {name: DATABASE, value: {{ include "desafio.name" (list $root "postgres") }}}
{{ include "desafio.databasePassword" $root }}
{{- else -}}
- {name: API, value: "http://{{ include "desafio.name" (list $root "api") }}:{{ $root.Values.api.service.port }}"}
- {name: MLFLOW, value: {{ include "desafio.mlflowUri" $root | quote }}}
- {name: NAMESPACE, value: {{ $root.Release.Namespace }}}
{{- if $root.Values.auth.enabled }}
- name: API_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "desafio.clientKeys" $root }}, key: admin}
{{- end }}
{{- end }}
{{- end }}
