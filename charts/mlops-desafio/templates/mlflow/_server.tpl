{{/* What runs beside MLflow's own code, as a ConfigMap's data. */}}
{{- define "desafio.mlflowScripts" -}}
{{- range list "prepare" "with_driver" }}
{{ . }}.py: |
  {{- $.Files.Get (printf "files/mlflow/%s.py" .) | nindent 2 }}
{{- end }}
{{- end }}

{{/* The variables of the MLflow server and of what prepares its stores. */}}
{{- define "desafio.mlflowEnvironment" -}}
{{- if .Values.postgres.enabled -}}
# A database that goes silent is given up after 5 s; libpq takes the password from PGPASSWORD.
- name: MLFLOW_BACKEND_STORE_URI
  value: postgresql+psycopg2://mlflow@{{ include "desafio.name" (list . "postgres") }}:5432/mlflow?connect_timeout=3&tcp_user_timeout=5000
{{ include "desafio.databasePassword" . }}
{{- else -}}
- name: MLFLOW_BACKEND_STORE_URI
  valueFrom:
    secretKeyRef: {name: {{ .Values.postgres.existingSecret }}, key: uri}
{{- end }}
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: s3://{{ .Values.minio.bucket }}
{{- with ternary (printf "http://%s:9000" (include "desafio.name" (list . "minio"))) .Values.minio.endpoint .Values.minio.enabled }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if or .Values.minio.enabled .Values.minio.existingSecret }}
{{ include "desafio.s3Keys" . }}
{{- end }}
- {name: AWS_DEFAULT_REGION, value: {{ .Values.minio.region | quote }}}
# Not every S3 store knows the checksums that boto3 sends by default.
- {name: AWS_REQUEST_CHECKSUM_CALCULATION, value: when_required}
- {name: AWS_RESPONSE_CHECKSUM_VALIDATION, value: when_required}
- {name: AWS_EC2_METADATA_DISABLED, value: "true"}
- {name: AWS_MAX_ATTEMPTS, value: "2"}
- {name: MLFLOW_DISABLE_TELEMETRY, value: "true"}
# Its jobs serve language models alone, and take 1.5 GiB.
- {name: MLFLOW_SERVER_ENABLE_JOB_EXECUTION, value: "false"}
# It answers 403 to any other Host, and 127.0.0.1 and localhost are what a port-forward sends.
- name: MLFLOW_SERVER_ALLOWED_HOSTS
  value: {{ include "desafio.mlflowHosts" . }}
{{- with .Values.mlflow.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "desafio.mlflowHosts" -}}
{{- $name := include "desafio.name" (list . "mlflow") -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list "localhost" "127.0.0.1" $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.cluster.local" $name $namespace) -}}
{{- $both := list -}}
{{- range $hosts }}{{ $both = concat $both (list . (printf "%s:*" .)) }}{{ end -}}
{{- concat $both .Values.mlflow.allowedHosts | join "," -}}
{{- end }}
