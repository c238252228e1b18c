{{/* Passwords: generated once, kept over upgrades and over an uninstall. */}}

{{/* The Secret of a part: the given one, or the chart's. Call it with (list . "postgres"). */}}
{{- define "desafio.secret" -}}
{{- $root := index . 0 -}}
{{- default (include "desafio.name" .) (index $root.Values (index . 1)).existingSecret -}}
{{- end }}

{{/*
A Secret's manifest with one generated value a key, each kept where the Secret is there already.
Call it with (list . "postgres" (list "password")). It refuses to make a new password for a volume
that was initialised with another one.
*/}}
{{- define "desafio.generated" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $name := include "desafio.name" (list $root $part) -}}
{{- $kept := (lookup "v1" "Secret" $root.Release.Namespace $name).data | default dict -}}
{{- $volume := printf "data-%s-0" $name -}}
{{- if and (not $kept) (lookup "v1" "PersistentVolumeClaim" $root.Release.Namespace $volume) -}}
{{- fail (printf "The volume %s is there but its Secret %s is not: restore the Secret, or delete the volume to start anew." $volume $name) -}}
{{- end -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
  labels:
    {{- include "desafio.labels" (list $root $part) | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
type: Opaque
data:
  {{- range index . 2 }}
  {{ . }}: {{ default (randAlphaNum 32 | b64enc) (get $kept .) }}
  {{- end }}
{{- end }}

{{/* The database's password, in the variable that libpq reads. */}}
{{- define "desafio.databasePassword" -}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "desafio.secret" (list . "postgres") }}, key: password}
{{- end }}

{{/* The object store's keys, in the variables that boto3 reads. */}}
{{- define "desafio.s3Keys" -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ include "desafio.secret" (list . "minio") }}, key: access-key}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "desafio.secret" (list . "minio") }}, key: secret-key}
{{- end }}

{{/* The Secret with a key of each role, in plain text: for people and for `helm test`. */}}
{{- define "desafio.clientKeys" -}}
{{- default (include "desafio.name" (list . "clients")) .Values.auth.existingSecret -}}
{{- end }}
