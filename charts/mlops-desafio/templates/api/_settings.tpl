{{/* The service's variables: the chart's own, then api.settings, `maxRows` as SERVICE_MAX_ROWS. */}}
{{- define "desafio.settings" -}}
SERVICE_MLFLOW_URI: {{ include "desafio.mlflowUri" . | quote }}
SERVICE_REPLICAS: dns://{{ include "desafio.name" (list . "replicas") }}:8000
{{- if .Values.api.grpc.enabled }}
SERVICE_GRPC_PORT: {{ .Values.api.grpc.port | quote }}
{{- end }}
{{- if eq .Values.training.executor "kubernetes" }}
SERVICE_EXECUTOR: kubernetes
SERVICE_JOB_TEMPLATE: /etc/training/job.json
SERVICE_TRAINING_PODS: {{ .Values.training.maxPods | quote }}
SERVICE_TRAINING_SECONDS: {{ .Values.training.deadlineSeconds | quote }}
{{- end }}
{{- if .Values.auth.enabled }}
SERVICE_API_KEYS_FILE: /etc/desafio/keys
{{- end }}
{{- range $key, $value := .Values.api.settings }}
{{- $whole := and (kindIs "float64" $value) (eq $value (floor $value)) }}
SERVICE_{{ snakecase $key | upper }}: {{ ternary (printf "%.0f" $value) (toString $value) $whole | quote }}
{{- end }}
{{- end }}

{{/* Where MLflow is, for the service and the tests. */}}
{{- define "desafio.mlflowUri" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "desafio.name" (list . "mlflow") }}:5000
{{- else -}}
{{ .Values.mlflow.externalUri }}
{{- end -}}
{{- end }}
